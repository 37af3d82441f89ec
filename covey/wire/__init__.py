"""All that knows protobuf or gRPC objects: conversion, statuses, streams, servers and channels."""
