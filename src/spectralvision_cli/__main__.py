"""`python -m spectralvision_cli`, the same as the console script."""

import sys

from spectralvision_cli.main import main

if __name__ == "__main__":
    sys.exit(main())
