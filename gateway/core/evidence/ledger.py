"""What a log says is under way: kept while its entries pass, so that after a restore somebody can be asked for the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from gateway.core.evidence.entries import Accepted, Entry, Erased, Extended, Held, Leg, LegMoved, Receipted, Rejected

OVER: Final = frozenset({"delivered", "receipted", "refused", "cancelled", "expired"})  # a dead leg may be tried again


@dataclass(frozen=True, slots=True)
class OpenLeg:
    """A leg that had not ended."""

    leg_id: str
    jti: str
    partner: str
    state: str


@dataclass(slots=True)
class Ledger:
    """The sum of a log's entries. Feed it from the first entry on."""

    senders: dict[str, str] = field(default_factory=dict)  # partner → when its last message was accepted
    legs: dict[str, OpenLeg] = field(default_factory=dict)
    last_at: str = ""

    def take(self, entry: Entry) -> None:
        """Take the next entry."""
        self.last_at = max(self.last_at, entry.at)
        match entry:
            case Accepted() | Extended():
                if entry.kind == "accepted" and getattr(entry, "digest", None) is not None:  # else it is the gateway's own
                    self.senders[entry.iss] = entry.at
                for leg in entry.legs:
                    self._decided(leg)
            case LegMoved():
                self._moved(OpenLeg(entry.leg_id, entry.jti, entry.partner, entry.state))
            case Held():
                self._moved(OpenLeg(entry.leg_id, entry.jti, entry.partner, "held"))
            case Receipted():
                self.legs.pop(entry.leg_id, None)
            case _:
                pass

    def _decided(self, leg: Leg) -> None:
        self._moved(OpenLeg(leg.leg_id, leg.jti, leg.partner, leg.state))

    def _moved(self, leg: OpenLeg) -> None:
        if leg.state in OVER:
            self.legs.pop(leg.leg_id, None)
        else:
            self.legs[leg.leg_id] = leg


@dataclass(slots=True)
class Since:
    """What entries after the backup say: known only where somebody outside kept them."""

    accepted: list[tuple[str, str]] = field(default_factory=list)  # (iss, jti) of messages of partners
    rejected_count: int = 0
    moved: dict[str, OpenLeg] = field(default_factory=dict)
    erased: list[Erased] = field(default_factory=list)

    def take(self, entry: Entry) -> None:
        """Take the next entry."""
        match entry:
            case Accepted() if entry.digest is not None:
                self.accepted.append((entry.iss, entry.jti))
            case Rejected():
                self.rejected_count += 1
            case LegMoved():
                self.moved[entry.leg_id] = OpenLeg(entry.leg_id, entry.jti, entry.partner, entry.state)
            case Receipted():
                self.moved[entry.leg_id] = OpenLeg(entry.leg_id, entry.jti, entry.partner, "receipted")
            case Erased():
                self.erased.append(entry)
            case _:
                pass


def shown(leg: OpenLeg) -> dict[str, Any]:
    """Return a leg as a report shows it."""
    return {"leg": leg.leg_id, "jti": leg.jti, "partner": leg.partner, "state": leg.state}
