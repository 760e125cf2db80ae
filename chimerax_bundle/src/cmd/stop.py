"""`hetero stop`: stop what the engine works on."""

from chimerax.core.commands import CmdDesc, register


def hetero_stop(session):
    """Cancel the request that another command waits for; that command then ends with a sentence."""
    worker = getattr(session, "_hetero_worker", None)
    if worker is None or not worker.busy:
        session.logger.info("the hetero engine is not working on anything")
        return
    session.logger.info(f"stopping '{worker.busy}'")
    worker.cancel()


def register_command(name, logger):
    """Register `hetero stop`."""
    register(name, CmdDesc(synopsis="stop the request that the engine works on"), hetero_stop, logger=logger)
