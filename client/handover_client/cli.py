"""Entry point of the command line: what the script `handover` and `python -m` start."""

from handover_client.commands.main import main

if __name__ == "__main__":
    main()
