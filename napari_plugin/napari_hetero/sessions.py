"""One session a viewer, for all its docks."""

from napari_hetero.session import Session

_open: dict[int, tuple[Session, set[int]]] = {}


def acquire(viewer, user: int, renderer: str = "") -> Session:
    """The viewer's session, made where there is none. ``user`` is any number of the caller's own, for
    :func:`release`."""
    key = _key(viewer)
    if key not in _open:
        _open[key] = (Session(viewer, renderer), set())
    session, users = _open[key]
    users.add(user)
    return session


def release(session: Session, user: int) -> None:
    """A user is done; the last one to go disconnects the session from its viewer."""
    for key, (held, users) in list(_open.items()):
        if held is session:
            users.discard(user)
            if not users:
                del _open[key]
                session.disconnect()


def find(viewer) -> Session | None:
    """The viewer's session, or None where it has no dock of ours."""
    return _open[_key(viewer)][0] if _key(viewer) in _open else None


def viewers() -> list:
    """The viewers that have a dock of ours, and the one that is on top."""
    from napari import current_viewer

    found = {_key(session.viewer): session.viewer for session, _ in _open.values()}
    on_top = current_viewer()
    if on_top is not None:
        found.setdefault(_key(on_top), on_top)
    return list(found.values())


def _key(viewer) -> int:
    # napari hands each widget its own public-only proxy of the one viewer.
    return id(getattr(viewer, "__wrapped__", viewer))
