"""``python -m evosparse``: the command line without its script."""

from evosparse.cli import main

if __name__ == "__main__":
    main()
