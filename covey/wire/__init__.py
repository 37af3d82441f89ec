"""All that knows protobuf or gRPC objects: conversion, statuses, streams, servers and channels."""

from covey.settings import quieten_grpc

quieten_grpc()  # before the first import of grpc, which reads it once
