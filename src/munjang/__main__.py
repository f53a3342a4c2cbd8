"""``python -m munjang`` is the command ``munjang``."""

from munjang.cli import main

if __name__ == "__main__":
    main()
