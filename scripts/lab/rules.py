"""nftables rules of home routers: what is written on the box of each NAT, as the terms of RFC 4787 have it.

Linux alone makes the port-restricted kind (`masquerade`) and the symmetric one (`fully-random`): a connection's entry
matches only the exact way back. The kinds that let more in are made with a map that outgoing packets teach: which
inside machine a port belongs to. That is right while masquerade keeps the port, which it does for machines that use
different ones.
"""

# Kinds whose mapping does not depend on whom one talks to, by what they let in: from anyone, or any port of an
# address that was talked to. The others leave that to the kernel: only from where packets went.
LETS_IN_ANYONE = "fullcone"
LETS_IN_ADDRESS = "address"
LETS_IN_ENDPOINT = "port"
MAPS_EACH_ANEW = "symmetric"
FILTERS = (LETS_IN_ANYONE, LETS_IN_ADDRESS, LETS_IN_ENDPOINT, MAPS_EACH_ANEW)


def nat(kind, hairpin=None, accepts_input=False, udp=True, tcp_ports=None):
    """A NAT router between its devices `lan` and `wan`.

    `hairpin` is its outside address when it sends back in what comes from within for its outside; only a full cone
    can. `accepts_input` lets unsolicited packets to itself be, and so be remembered as connections, as routers do
    whose firewall is off. Without `udp` no UDP passes; `tcp_ports` are then the only ones of TCP.
    """
    learns = kind in (LETS_IN_ANYONE, LETS_IN_ADDRESS)
    udp_out = 'iifname "lan" oifname "wan" meta l4proto udp'
    declared, forward, before, after = [], [], [], []
    if learns:
        declared.append("map inside { type inet_service : ipv4_addr; flags dynamic,timeout; timeout 120s; }")
        forward.append(f"{udp_out} update @inside {{ udp sport : ip saddr }}")
        known = ""
        if kind == LETS_IN_ADDRESS:
            declared.append(
                "set seen { type inet_service . ipv4_addr; flags dynamic,timeout; timeout 120s; }"
            )
            forward.append(f"{udp_out} update @seen {{ udp sport . ip daddr }}")
            known = "udp dport . ip saddr @seen "
        before.append(f'iifname "wan" meta l4proto udp {known}dnat ip to udp dport map @inside')
    if hairpin:
        before.append(f'iifname "lan" ip daddr {hairpin} meta l4proto udp dnat ip to udp dport map @inside')
        after.append(f'iifname "lan" oifname "lan" ct status dnat snat to {hairpin}')
    if not udp:
        forward.append("meta l4proto udp drop")
    if tcp_ports:
        forward.append(
            f'iifname "lan" meta l4proto tcp tcp dport != {{ {", ".join(map(str, tcp_ports))} }} drop'
        )
    after.append('oifname "wan" masquerade' + (" fully-random" if kind == MAPS_EACH_ANEW else ""))
    return f"""
table ip lab {{
  {lines(declared)}
  chain forward {{
    type filter hook forward priority 0; policy drop;
    {lines(forward)}
    ct state established,related accept
    iifname "lan" accept
    ct status dnat accept
  }}
  chain input {{
    type filter hook input priority 0; policy {"accept" if accepts_input else "drop"};
    ct state established,related accept
    iifname {{ "lan", "lo" }} accept
  }}
  chain before {{
    type nat hook prerouting priority -100;
    {lines(before)}
  }}
  chain after {{
    type nat hook postrouting priority 100;
    {lines(after)}
  }}
}}
"""


FIREWALL_6 = """
table ip6 lab {
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname "lan" accept
  }
  chain input {
    type filter hook input priority 0; policy drop;
    ct state established,related accept
    iifname { "lan", "lo" } accept
    meta l4proto icmpv6 accept
  }
}
"""


def lines(rules):
    return "\n    ".join(rules)
