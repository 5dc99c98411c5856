"""The network outside any allocation: where users are, how they move, what reaches whom, what arrives."""
