"""Names: an authoritative server, a caching resolver and a stub resolver, all asyncio and IPv4.

    zone, rdata, names   values: what is answered        codec, cache    wire forms of messages
    transport, exchange  sockets of servers, of clients  channel         run-time control
    server, resolver     processes of VMs                stub, control   what others call

The one library for records is dnslib, reached only through ``rdata``. See docs/dns.md.
"""
