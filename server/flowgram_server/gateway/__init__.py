"""The REST gateway: FlowGram's own HTTP API, as the editor speaks it, over the gRPC service.

    HTTP -> endpoints -> gRPC client -> the service

It is a client of the service and holds no state: any number of gateways may stand before one server, and each may be
restarted at any time. JSON that users wrote passes through as the text it is.
"""
