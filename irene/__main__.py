"""`python -m irene` is the command `irene`, where the package is on the path but not installed."""

from irene.cli.main import main

if __name__ == "__main__":
    main()
