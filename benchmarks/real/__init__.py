"""The whole job on real photographs, through the command line alone."""
