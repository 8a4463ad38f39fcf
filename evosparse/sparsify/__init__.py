"""Published methods that make networks sparse, and the benchmark of planted tickets that judges them."""
