"""An OpenAI-compatible API and a chat page over a run's models (the extra `serve`)."""

from groundup.errors import GroundupError

try:
    from groundup.serve.app import create_app
    from groundup.serve.server import serve
except ModuleNotFoundError as missing:
    if missing.name not in ("fastapi", "starlette", "uvicorn"):
        raise
    raise GroundupError(
        f"serving needs {missing.name}, which is not installed", do='run: pip install "groundup[serve]"'
    ) from missing

__all__ = ["create_app", "serve"]
