"""Where the ranks of a world meet: a process of its own, which rank 0 starts.

It imports nothing of numgrad, and no data of tensors passes through it. Two kinds of connections
come to its one port. MPI libraries ask it, in MPICH's PMI-1, for their rank, for the size of the
world and for each other's addresses. Ranks have one control connection each, of lines of JSON: a
rank says hello and is told to go on when all are there; a control connection that ends is a rank
that is gone, and all others are told which. The port is closed when the world has formed; the
process ends with the last connection.

    python _endpoint.py DESCRIPTOR_OF_THE_LISTENING_SOCKET WORLD_SIZE WORLD_NAME
"""

from __future__ import annotations

import glob
import json
import os
import selectors
import signal
import socket
import sys
from typing import Any

#: A line that is longer, or that speaks neither language, ends its connection.
MOST = 1 << 16


class Connection:
    """A client: what it has sent of a line, and who it is once it has said so."""

    def __init__(self, own: socket.socket) -> None:
        self.socket = own
        self.buffer = b""
        self.rank: int | None = None
        self.kind = "unknown"  # then "control" or "pmi"
        self.open = True

    def send(self, text: str) -> None:
        """Send lines; to a client that is gone they are lost."""
        try:
            self.socket.sendall(text.encode())
        except OSError:
            pass

    def tell(self, **message: Any) -> None:
        """Send a message to a rank."""
        self.send(json.dumps(message) + "\n")


class Endpoint:
    """The state of one world."""

    def __init__(self, listener: socket.socket, size: int, name: str) -> None:
        self.listener: socket.socket | None = listener
        self.size = size
        self.name = name
        self.values: dict[str, str] = {"PMI_process_mapping": ""}
        self.ranks: dict[int, Connection] = {}
        self.who: dict[int, dict[str, Any]] = {}
        self.mpi: dict[int, Connection] = {}
        self.waiting: set[int] = set()  # ranks in PMI's barrier
        self.gone: dict[int, str] = {}
        self.finished: set[int] = set()
        self.selector = selectors.DefaultSelector()
        self.selector.register(listener, selectors.EVENT_READ, None)

    def run(self) -> None:
        """Serve until every rank is gone."""
        starter = os.getppid()
        while not self.ranks or any(client.open for client in self.ranks.values()):
            for key, _ in self.selector.select(None if self.ranks else 1.0):
                if key.data is None:
                    self._accept()
                else:
                    self._read(key.data)
            if not self.ranks and os.getppid() != starter:
                return  # rank 0 is gone before it could say hello

    def _accept(self) -> None:
        assert self.listener is not None
        own, _ = self.listener.accept()
        own.settimeout(10.0)
        keep_alive(own)
        self.selector.register(own, selectors.EVENT_READ, Connection(own))

    def _read(self, client: Connection) -> None:
        try:
            data = client.socket.recv(MOST)
        except OSError:
            data = b""
        client.buffer += data
        *lines, client.buffer = client.buffer.split(b"\n")
        for line in lines:
            try:
                self._line(client, line.decode())
            except (ValueError, KeyError, TypeError):
                data = b""
                break
        if not data or len(client.buffer) > MOST:
            self._end(client)

    def _line(self, client: Connection, line: str) -> None:
        if line.startswith("{"):
            self._control(client, json.loads(line))
        elif line.startswith("cmd="):
            self._pmi(client, dict(word.split("=", 1) for word in line.split(" ") if "=" in word))
        else:
            raise ValueError(line)

    def _end(self, client: Connection) -> None:
        self.selector.unregister(client.socket)
        client.socket.close()
        client.open = False
        if client.kind == "control":
            self._lose(client.rank, "was lost")  # type: ignore[arg-type]

    # ----------------------------------------------------------------------- control

    def _control(self, client: Connection, message: dict[str, Any]) -> None:
        if client.kind == "unknown":
            self._hello(client, message)
        elif "leaving" in message:
            self._lose(client.rank, message["leaving"])  # type: ignore[arg-type]
        elif "done" in message:
            self.finished.add(client.rank)  # type: ignore[arg-type]
            if len(self.finished) == self.size:
                for other in self.ranks.values():
                    other.tell(finish=True)
        elif "ask" in message:
            for rank, other in self.ranks.items():
                if rank not in self.gone and other is not client:
                    other.tell(ask=client.rank, about=message["ask"])
        elif "answer" in message:
            asker = self.ranks.get(message["to"])
            if asker is not None:
                asker.tell(answer=message["answer"], rank=client.rank)

    def _hello(self, client: Connection, message: dict[str, Any]) -> None:
        rank, size = int(message["hello"]), int(message["size"])
        if size != self.size:
            client.tell(refused=f"this world has {self.size} ranks, not {size}")
        elif not 0 <= rank < size:
            client.tell(refused=f"there is no rank {rank} in a world of {size}")
        elif rank in self.ranks:
            client.tell(refused=f"there is a rank {rank} already: {self._name(rank)}")
        elif self.gone:
            client.tell(refused=next(iter(self.gone.values())))
        else:
            client.kind, client.rank = "control", rank
            self.ranks[rank], self.who[rank] = client, message
            if len(self.ranks) == self.size:
                self._go()

    def _go(self) -> None:
        """All are there: how they lie on hosts, as MPICH wants to know it, and then the start."""
        hosts: dict[str, int] = {}
        nodes = [hosts.setdefault(self.who[r]["host"], len(hosts)) for r in range(self.size)]
        blocks: list[tuple[int, int, int]] = []  # first node, nodes, ranks on each
        start = 0
        for end in range(1, self.size + 1):
            if end == self.size or nodes[end] != nodes[start]:
                blocks.append((nodes[start], 1, end - start))
                start = end
        self.values["PMI_process_mapping"] = (
            "(vector," + ",".join(f"({a},{b},{c})" for a, b, c in blocks) + ")"
        )
        for client in self.ranks.values():
            client.tell(go=self.name, ranks=[self._name(r) for r in range(self.size)])

    def _name(self, rank: int) -> str:
        known = self.who.get(rank)
        return f"rank {rank}" + (f" (pid {known['pid']} on {known['name']})" if known else "")

    def _lose(self, rank: int, how: str) -> None:
        if rank in self.gone:
            return
        self.gone[rank] = f"{self._name(rank)} {how}"
        for other, client in self.ranks.items():
            if other not in self.gone:
                client.tell(gone=rank, text=self.gone[rank])

    # --------------------------------------------------------------------------- PMI

    def _pmi(self, client: Connection, message: dict[str, str]) -> None:
        command = message["cmd"]
        if command == "initack":
            client.kind, client.rank = "pmi", int(message["pmiid"])
            if client.rank not in self.ranks or client.rank in self.mpi:
                raise ValueError(message)
            self.mpi[client.rank] = client
            if len(self.mpi) == self.size and self.listener is not None:  # nobody else is to come
                self.selector.unregister(self.listener)
                self.listener.close()
                self.listener = None
            client.send(
                f"cmd=initack\ncmd=set size={self.size}\ncmd=set rank={client.rank}\n"
                "cmd=set debug=0\n"
            )
        elif client.kind != "pmi":
            raise ValueError(message)
        elif command == "init":
            client.send("cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0\n")
        elif command == "get_maxes":
            client.send("cmd=maxes kvsname_max=256 keylen_max=64 vallen_max=1024\n")
        elif command == "get_appnum":
            client.send("cmd=appnum appnum=0 rc=0\n")
        elif command == "get_universe_size":
            client.send(f"cmd=universe_size size={self.size} rc=0\n")
        elif command == "get_my_kvsname":
            client.send(f"cmd=my_kvsname kvsname={self.name} rc=0\n")
        elif command == "put":
            self.values[message["key"]] = message["value"]
            client.send("cmd=put_result rc=0 msg=success\n")
        elif command == "get":
            value = self.values.get(message["key"])
            found = f"rc=0 msg=success value={value}" if value is not None else "rc=-1 msg=unknown"
            client.send(f"cmd=get_result {found}\n")
        elif command == "barrier_in":
            self._barrier(client.rank)  # type: ignore[arg-type]
        elif command == "finalize":
            self.finished.add(client.rank)  # type: ignore[arg-type]
            client.send("cmd=finalize_ack rc=0\n")
        elif command == "abort":
            self._lose(client.rank, "called MPI_Abort")  # type: ignore[arg-type]
        else:
            raise ValueError(message)

    def _barrier(self, rank: int) -> None:
        self.waiting.add(rank)
        if len(self.waiting) == self.size:
            self.waiting.clear()
            for client in self.mpi.values():
                client.send("cmd=barrier_out rc=0 msg=success\n")


def shared_memory(name: str) -> str:
    """The files that MPICH gives a world of that name: FNV-1a of the name, and a host's number."""
    value = 2166136261
    for byte in name.encode():
        value = (value ^ byte) * 16777619 % 2**32
    return f"/dev/shm/mpich_shm_{value:x}_*"


def remove_shared_memory(name: str) -> None:
    """Unlink a world's files in shared memory, which ranks that were killed have left."""
    for path in glob.glob(shared_memory(name)):
        try:
            os.unlink(path)
        except OSError:
            pass


def keep_alive(own: socket.socket) -> None:
    """Have the end of a host, or of the way to it, noticed within half a minute."""
    own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for name, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            own.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def main(descriptor: int, size: int, name: str) -> None:
    """Serve one world on a listening socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the ranks
    try:
        Endpoint(socket.socket(fileno=descriptor), size, name).run()
    finally:
        remove_shared_memory(name)


if __name__ == "__main__":
    os.chdir("/")
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
