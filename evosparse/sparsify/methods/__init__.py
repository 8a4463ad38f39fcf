"""The published methods, one small file each; a new one is a new file, imported here."""

from evosparse.sparsify.methods.bernoulli_units import BernoulliUnits
from evosparse.sparsify.methods.ctre import CTREseq, CTREsim
from evosparse.sparsify.methods.dense import Dense, Dropout
from evosparse.sparsify.methods.edge_popup import EdgePopup
from evosparse.sparsify.methods.gmp import GMP
from evosparse.sparsify.methods.grasp import GraSP
from evosparse.sparsify.methods.han import Han
from evosparse.sparsify.methods.i_spasp import ISpaSP
from evosparse.sparsify.methods.imp import BIMP, IMP
from evosparse.sparsify.methods.lottery import LotteryTicket
from evosparse.sparsify.methods.lsg import LSG
from evosparse.sparsify.methods.magnitude import Magnitude
from evosparse.sparsify.methods.ncg import NCG
from evosparse.sparsify.methods.nn_relief import NNRelief
from evosparse.sparsify.methods.random_pruning import Random
from evosparse.sparsify.methods.rigl import RigL
from evosparse.sparsify.methods.rigl_restarted import RigLRestarted
from evosparse.sparsify.methods.scl import SCL
from evosparse.sparsify.methods.set import SET
from evosparse.sparsify.methods.snip import SNIP
from evosparse.sparsify.methods.static import Static
from evosparse.sparsify.methods.synflow import SynFlow
from evosparse.sparsify.methods.wasap import WASAP, WASSP

__all__ = [
    "BIMP", "GMP", "IMP", "LSG", "NCG", "SCL", "SET", "SNIP", "WASAP", "WASSP", "BernoulliUnits", "CTREseq", "CTREsim", "Dense", "Dropout",
    "EdgePopup", "GraSP", "Han", "ISpaSP", "LotteryTicket", "Magnitude", "NNRelief", "Random", "RigL", "RigLRestarted", "Static",
    "SynFlow",
]  # fmt: skip
