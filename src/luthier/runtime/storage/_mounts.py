"""Which file systems are shared by machines: SQLite's locks and shared memory do not reach across them."""

from __future__ import annotations

import re
from pathlib import Path

_NETWORK = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ceph",
        "lustre",
        "gpfs",
        "beegfs",
        "fhgfs",
        "panfs",
        "orangefs",
        "pvfs2",
        "wekafs",
        "glusterfs",
        "ncpfs",
        "davfs",
        "gfs2",
        "ocfs2",
        "fuse.sshfs",
        "fuse.glusterfs",
        "fuse.ceph",
        "fuse.ceph-fuse",
        "fuse.davfs2",
        "fuse.s3fs",
        "fuse.rclone",
        "fuse.gcsfuse",
        "fuse.blobfuse2",
        "fuse.juicefs",
        "fuse.mfs",
        "fuse.smbnetfs",
        "fuse.mount-s3",
        "fuse.goofys",
    }
)


def network_type(path: Path, mounts: str | None = None) -> str | None:
    """Type of the network file system that a path lies on.

    Args:
        path: A file, which need not exist yet.
        mounts: Text in the form of /proc/mounts; read from there by default.

    Returns:
        Such as "nfs4"; None for a local one, and where the system does not say (only Linux does).
    """
    if mounts is None:
        try:
            mounts = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
    place = path.resolve()
    best, kind = Path("/"), ""
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 3:
            continue
        point = Path(_unescape(fields[1]))
        # of equally deep mounts the later one hides the earlier
        if (place == point or point in place.parents) and len(point.parts) >= len(best.parts):
            best, kind = point, fields[2]
    if kind == "9p" and best == Path("/"):
        return None  # the root of a sandbox such as gVisor, local to it
    return kind if kind in _NETWORK else None


def _unescape(text: str) -> str:
    """/proc/mounts writes blanks and the like as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
