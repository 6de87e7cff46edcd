import ControlAPI
import MeshCrypto
import MeshNode
import MeshWire
import Testing

@testable import LightNode

@Suite("Invitations")
struct InviteTests {
  private let now = WallTime(secondsSinceEpoch: 1_000)
  private var line: InviteLine {
    InviteLine(
      keyHash: KeyHash(Array(repeating: 1, count: 32))!, secret: Array(repeating: 2, count: 32),
      expiry: WallTime(secondsSinceEpoch: 2_000), backboneKey: KeyHash(Array(repeating: 3, count: 32))!,
      backboneURL: "https://backbone.example:8443", region: "europe",
      endpoints: [Endpoint("192.0.2.1:8443")!, Endpoint("[2001:db8::1]:8443")!])
  }

  @Test func aLineComesBackTheSame() throws {
    #expect(try InviteLine(line.text) == line)
    var bare = line
    bare.backboneKey = nil
    bare.backboneURL = ""
    bare.endpoints = []
    #expect(try InviteLine(bare.text) == bare)
    #expect(line.text.utf8.count < InviteLine.maximumLength)
  }

  @Test func lineBreaksInsideDoNoHarm() throws {
    var text = line.text
    text.insert("\n", at: text.index(text.startIndex, offsetBy: 60))
    #expect(try InviteLine("  " + text + "\n") == line)
  }

  @Test func everyCutAndEveryChangedCharacterIsRefused() {
    let text = line.text
    for count in 0..<text.count {
      #expect(throws: InviteLine.Refusal.self) { try InviteLine(String(text.prefix(count))) }
    }
    // Not the last one: some of its bits are beyond the last byte (RFC 4648 §3.5), and change nothing.
    for index in text.indices.dropLast() {
      var altered = text
      altered.replaceSubrange(index...index, with: text[index] == "A" ? "B" : "A")
      #expect(throws: InviteLine.Refusal.self) { try InviteLine(altered) }
    }
  }

  private func entry(_ secret: [UInt8], expires: UInt64 = 2_000) -> InviteLedger.Entry {
    InviteLedger.Entry(
      secretHash: InviteLine.hash(ofSecret: secret).hex, name: PeerName("bob"), allow: [.tcp(22)],
      expires: expires)
  }

  @Test("A secret works once")
  func singleUse() {
    var ledger = InviteLedger()
    let outcome1 = ledger.add(entry([1]), now: now)
    #expect(outcome1)
    let hash = InviteLine.hash(ofSecret: [1])
    let outcome2 = ledger.redeem(secretHash: InviteLine.hash(ofSecret: [2]), now: now)
    #expect(outcome2 == nil)
    let outcome3 = ledger.redeem(secretHash: hash, now: now) == entry([1])
    #expect(outcome3)
    let outcome4 = ledger.redeem(secretHash: hash, now: now)
    #expect(outcome4 == nil)
  }

  @Test("An expired secret does not work")
  func expiry() {
    var ledger = InviteLedger()
    let outcome5 = ledger.add(entry([1]), now: now)
    #expect(outcome5)
    let late = WallTime(secondsSinceEpoch: 2_000)
    let outcome6 = ledger.redeem(secretHash: InviteLine.hash(ofSecret: [1]), now: late)
    #expect(outcome6 == nil)
  }

  @Test("The stored ledger holds the hash of a secret, never the secret")
  func hashesOnly() throws {
    var ledger = InviteLedger()
    let secret = Array("a secret of thirty-two bytes ...".utf8)
    let outcome7 = ledger.add(entry(secret), now: now)
    #expect(outcome7)
    let stored = try ledger.encoded()
    #expect(try InviteLedger(encoded: stored) == ledger)
    let text = String(decoding: stored, as: UTF8.self)
    #expect(!text.contains(secret.hex))
    #expect(text.contains(Primitives.sha256(secret).hex))
  }

  @Test func theLedgerIsBoundedAndForgetsWhatExpired() {
    var ledger = InviteLedger()
    for index in 0..<InviteLedger.maximumInvites {
      let added = ledger.add(entry([UInt8(index)]), now: now)
      #expect(added)
    }
    let outcome8 = ledger.add(entry([200]), now: now)
    #expect(!outcome8)
    let outcome9 = ledger.add(entry([200], expires: 9_000), now: WallTime(secondsSinceEpoch: 3_000))
    #expect(outcome9)
    #expect(ledger.entries.count == 1)
  }

  @Test("Who did not answer has not refused: whoever joins is told which, and where it was tried")
  func whatAJoinFailsOf() {
    #expect(ControlDesk.failure(.accepted, tried: line.endpoints) == nil)
    #expect(ControlDesk.failure(.refused, tried: line.endpoints)?.kind == .refused)
    let unanswered = ControlDesk.failure(.unanswered, tried: line.endpoints)
    #expect(unanswered?.kind == .timedOut)
    #expect(unanswered?.message.contains("192.0.2.1:8443, [2001:db8::1]:8443") == true)
    #expect(ControlDesk.failure(.unanswered, tried: [])?.message.contains("no address") == true)
  }

  @Test func aStoredLedgerIsBoundedToo() throws {
    func stored(_ count: Int) -> [UInt8] {
      let invite = #"{"secret_hash":"aa","allow":[],"expires":1}"#
      let invites = Array(repeating: invite, count: count).joined(separator: ",")
      return Array(#"{"version":1,"invites":[\#(invites)]}"#.utf8)
    }
    #expect(try InviteLedger(encoded: stored(InviteLedger.maximumInvites)).entries.count == 64)
    #expect(throws: PeerBook.Unreadable.self) {
      try InviteLedger(encoded: stored(InviteLedger.maximumInvites + 1))
    }
  }
}
