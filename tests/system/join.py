#!/usr/bin/python3
"""join.py HOST PORT: standard input and output joined to a TCP port, as a ProxyCommand does."""

import os
import socket
import sys
import threading

s = socket.create_connection((sys.argv[1], int(sys.argv[2])))


def up():
    while data := os.read(0, 65536):
        s.sendall(data)


threading.Thread(target=up, daemon=True).start()
while data := s.recv(65536):
    os.write(1, data)
