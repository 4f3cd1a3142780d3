"""The command `handover serve`: a policy behind gRPC, until it is stopped."""

from handover_common import MissingExtra, run_command, show

from handover_server.logs import configure_logging
from handover_server.serve.config import ServeConfig, check


def main(config: ServeConfig) -> None:
    """Serve until SIGTERM or SIGINT, then end the process; raises HandoverError at the start."""
    check(config)
    configure_logging(config.log_format, config.log_level)
    try:
        from handover_server.serve.run import serve_and_exit
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "grpc", "serve") from None
    serve_and_exit(config, show)


if __name__ == "__main__":
    raise SystemExit(run_command(ServeConfig, main, "handover serve"))
