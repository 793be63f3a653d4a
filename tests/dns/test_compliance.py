"""What an authoritative server must answer, asked by an independent client (dnspython)."""

from __future__ import annotations

from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rdataclass
import dns.rdatatype
import pytest

from drharness.dns.server import DnsServer
from tests.dns.background import ask, raw, rcode, values

P = "cfgmaster-p.dr.internal"


def soa_ttl(reply: dns.message.Message) -> int:
    (rrset,) = reply.authority
    assert rrset.rdtype == dns.rdatatype.SOA
    return int(rrset.ttl)


def test_an_address_is_answered_with_authority(server: DnsServer) -> None:
    reply = ask(server.port, P)
    assert values(reply) == ["10.81.1.11"]
    assert reply.answer[0].ttl == 1
    assert reply.flags & dns.flags.AA
    assert not reply.flags & dns.flags.RA


@pytest.mark.parametrize("asked", [int(dns.flags.RD), 0])
def test_recursion_desired_is_copied(server: DnsServer, asked: int) -> None:
    assert ask(server.port, P, flags=asked).flags & dns.flags.RD == asked


def test_the_question_keeps_its_capital_letters(server: DnsServer) -> None:
    reply = ask(server.port, "cFgMaSTer-P.DR.inTERnal")
    assert reply.question[0].name.to_text() == "cFgMaSTer-P.DR.inTERnal."
    assert values(reply) == ["10.81.1.11"]


def test_reserved_and_authentic_data_bits_are_clear(server: DnsServer) -> None:
    query = bytearray(dns.message.make_query(P, "A").to_wire())
    query[3] |= 0x60
    (reply,) = raw(server.port, bytes(query))
    assert not reply[3] & 0x60


def test_all_addresses_of_a_name_are_answered(server: DnsServer) -> None:
    assert sorted(values(ask(server.port, "both.dr.internal"))) == [
        "10.0.0.1", "10.0.0.2", "10.0.0.3",
    ]  # fmt: skip
    assert values(ask(server.port, "both.dr.internal", "AAAA")) == ["fd00::1"]


def test_a_ttl_of_zero_is_kept(server: DnsServer) -> None:
    assert ask(server.port, "now.dr.internal").answer[0].ttl == 0


def test_any_is_answered_with_one_set(server: DnsServer) -> None:
    assert len(ask(server.port, "both.dr.internal", "ANY").answer) == 1


def test_a_missing_name_is_nxdomain_with_soa(server: DnsServer) -> None:
    reply = ask(server.port, "nowhere.dr.internal")
    assert (rcode(reply), values(reply), soa_ttl(reply)) == ("NXDOMAIN", [], 5)
    assert reply.flags & dns.flags.AA


@pytest.mark.parametrize(
    ("name", "kind"),
    [(P, "AAAA"), (P, "TYPE666"), ("b.deep.dr.internal", "A"), ("deep.dr.internal", "A"),
     ("x.wild.dr.internal", "TXT"), ("wild.dr.internal", "A"), ("dr.internal", "A")],
)  # fmt: skip
def test_missing_data_of_a_name_is_noerror_with_soa(
    server: DnsServer, name: str, kind: str
) -> None:
    reply = ask(server.port, name, kind)
    assert (rcode(reply), values(reply), soa_ttl(reply)) == ("NOERROR", [], 5)


def test_a_wildcard_answers_in_the_name_asked_for(server: DnsServer) -> None:
    reply = ask(server.port, "x.y.wild.dr.internal")
    assert reply.answer[0].name.to_text() == "x.y.wild.dr.internal."
    assert values(reply) == ["10.9.9.9"]


def test_a_wildcard_does_not_reach_below_a_name_that_exists(server: DnsServer) -> None:
    assert values(ask(server.port, "host.wild.dr.internal")) == ["10.9.9.1"]
    assert rcode(ask(server.port, "x.host.wild.dr.internal")) == "NXDOMAIN"


def test_an_alias_is_followed_to_its_address(server: DnsServer) -> None:
    assert values(ask(server.port, "twice.dr.internal")) == [
        "Alias.dr.internal.", "cfgmaster-p.dr.internal.", "10.81.1.11",
    ]  # fmt: skip


def test_an_alias_itself_can_be_asked_for(server: DnsServer) -> None:
    assert values(ask(server.port, "alias.dr.internal", "CNAME")) == ["cfgmaster-p.dr.internal."]


def test_an_alias_to_a_missing_name_is_nxdomain(server: DnsServer) -> None:
    reply = ask(server.port, "dangling.dr.internal")
    assert (rcode(reply), values(reply)) == ("NXDOMAIN", ["nowhere.dr.internal."])
    assert soa_ttl(reply) == 5


def test_an_alias_to_a_name_without_the_type_has_soa(server: DnsServer) -> None:
    reply = ask(server.port, "alias.dr.internal", "AAAA")
    assert (rcode(reply), values(reply)) == ("NOERROR", ["cfgmaster-p.dr.internal."])
    assert soa_ttl(reply) == 5


def test_an_alias_out_of_the_zone_ends_there(server: DnsServer) -> None:
    reply = ask(server.port, "abroad.dr.internal")
    assert (rcode(reply), values(reply)) == ("NOERROR", ["www.example.org."])


def test_a_loop_of_aliases_ends(server: DnsServer) -> None:
    assert rcode(ask(server.port, "loop.dr.internal")) == "NOERROR"


def test_the_apex_has_soa_and_name_server(server: DnsServer) -> None:
    assert values(ask(server.port, "dr.internal", "NS")) == ["ns1.dr.internal."]
    assert values(ask(server.port, "ns1.dr.internal")) == ["127.0.0.1"]
    (soa,) = values(ask(server.port, "dr.internal", "SOA"))
    assert soa.split()[:3] == [
        "ns1.dr.internal.", "hostmaster.dr.internal.", str(server.zone.serial),
    ]  # fmt: skip


def test_the_target_of_a_service_is_not_compressed(server: DnsServer) -> None:
    reply = ask(server.port, "_cfg._tcp.dr.internal", "SRV")
    assert values(reply) == ["1 2 2020 cfgmaster-p.dr.internal."]
    assert b"\x0bcfgmaster-p\x02dr\x08internal\x00" in reply.wire  # type: ignore[operator]


@pytest.mark.parametrize("name", ["www.example.org", "xdr.internal", "internal", "."])
def test_a_name_out_of_the_zone_is_refused(server: DnsServer, name: str) -> None:
    reply = ask(server.port, name)
    assert (rcode(reply), bool(reply.flags & dns.flags.AA)) == ("REFUSED", False)
    assert reply.question[0].name.to_text().strip(".") == name.strip(".")


@pytest.mark.parametrize("kind", [dns.rdataclass.CH, dns.rdataclass.HS])
def test_another_class_is_not_answered_as_internet(server: DnsServer, kind: int) -> None:
    reply = ask(server.port, P, rdclass=kind)
    assert (rcode(reply), reply.answer) == ("REFUSED", [])


@pytest.mark.parametrize("tcp", [False, True])
def test_zone_transfer_is_refused(server: DnsServer, tcp: bool) -> None:
    assert rcode(ask(server.port, "dr.internal", "AXFR", tcp=tcp)) == "REFUSED"


def test_edns_is_answered_only_where_it_was_asked(server: DnsServer) -> None:
    assert ask(server.port, P).edns == -1
    assert ask(server.port, P, use_edns=0).edns == 0


def test_an_unknown_edns_version_is_badvers(server: DnsServer) -> None:
    reply = ask(server.port, P, use_edns=1)
    assert (rcode(reply), reply.edns, reply.answer) == ("BADVERS", 0, [])


@pytest.mark.parametrize("do", [0, dns.flags.DO])
def test_only_the_do_bit_of_edns_is_copied(server: DnsServer, do: int) -> None:
    assert ask(server.port, P, use_edns=0, ednsflags=do | 0x4080).ednsflags == do


def test_an_unknown_edns_option_is_ignored(server: DnsServer) -> None:
    option = dns.edns.GenericOption(dns.edns.OptionType.make(1234), b"odd")
    reply = ask(server.port, P, use_edns=0, options=[option])
    assert (values(reply), reply.options) == (["10.81.1.11"], ())


@pytest.mark.parametrize(
    ("options", "cut"),
    [({}, 512), ({"use_edns": 0, "payload": 300}, 512), ({"use_edns": 0, "payload": 65535}, 1232)],
)
def test_a_long_answer_is_truncated_at_the_limit(
    server: DnsServer, options: dict[str, Any], cut: int
) -> None:
    reply = ask(server.port, "text.dr.internal", "TXT", **options)
    assert reply.flags & dns.flags.TC
    assert reply.flags & dns.flags.AA
    assert (reply.answer, reply.edns) == ([], 0 if options else -1)
    assert len(reply.wire or b"") <= cut


def test_truncation_begins_right_above_the_limit(server: DnsServer) -> None:
    size = len(ask(server.port, "both.dr.internal").wire or b"")
    assert size < 512
    assert not ask(server.port, "both.dr.internal").flags & dns.flags.TC


@pytest.mark.parametrize("opcode", [1, 2, 4, 5, 6, 15])
def test_another_opcode_gets_a_bare_notimp(server: DnsServer, opcode: int) -> None:
    query = bytearray(dns.message.make_query(P, "A").to_wire())
    query[2] = opcode << 3 | 1
    (reply,) = raw(server.port, bytes(query))
    assert reply == bytes(query[:2]) + bytes([0x80 | opcode << 3, 4]) + bytes(8)
