"""`python -m filator` is the same program as the `filator` script."""

from filator.cli import main

if __name__ == "__main__":
    main()
