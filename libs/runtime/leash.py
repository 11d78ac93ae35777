"""Run a program that dies with its parent: ``python -I -S leash.py PARENT SIGNAL UID GID PROGRAM [ARGUMENT …]``.

Started as a program of its own, before the real one takes its place, because Python may not safely run code between fork and
exec once threads exist. The order matters: the kernel forgets the death signal when the user changes, so the user comes first.
UID and GID -1 keep the caller's. On systems without ``prctl`` the program simply runs without a leash.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
PARENT_IS_GONE = 125


def main(arguments: list[str]) -> None:
    parent, death_signal, uid, gid = (int(value) for value in arguments[:4])
    program = arguments[4:]
    prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:  # it died before the leash was on
        sys.exit(PARENT_IS_GONE)
    os.execv(program[0], program)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
