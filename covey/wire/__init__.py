"""All that knows protobuf or gRPC objects: conversion, statuses, streams, servers and channels."""

from covey.settings import tame_grpc

tame_grpc()  # before the first import of grpc, which reads it once
