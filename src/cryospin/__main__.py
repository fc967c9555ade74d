"""`python -m cryospin`: the command line, for launchers that start modules."""

from cryospin.cli.main import main

if __name__ == "__main__":
    main()
