"""`python -m streamrec`."""

from streamrec.cli import main

main()
