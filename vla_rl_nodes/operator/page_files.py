"""The files that browsers get: all of them, from memory, and nothing else."""

from __future__ import annotations

from importlib import resources

from vla_rl_nodes.errors import InputError

KINDS = {
    ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml",
}  # fmt: skip
PAGES = ("page.html", "login.html")
SAID = "<!--said-->"


def page_files() -> dict[str, tuple[bytes, str]]:
    """Bytes and type of each file by its name.

    Raises:
        InputError: the package was installed without them.
    """
    folder = resources.files("vla_rl_nodes.operator") / "page"
    files = {}
    for file in folder.iterdir() if folder.is_dir() else ():
        kind = KINDS.get("." + file.name.rpartition(".")[2])
        if kind is not None:
            files[file.name] = file.read_bytes(), kind
    missing = next((name for name in PAGES if name not in files), None)
    if missing is not None:
        raise InputError(missing, "is not in this installation", "reinstall the package")
    return files
