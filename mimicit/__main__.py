"""Run the command line as `python -m mimicit`."""

from mimicit.cli import main

if __name__ == "__main__":
    main()
