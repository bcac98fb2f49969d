"""The command line: AWS's operations under AWS's names, and what InService adds to them."""
