import ControlAPI
import Foundation
import MeshCrypto
import MeshWire
import Testing

@testable import LightNode

@Suite("Peer book")
struct PeerBookTests {
  private let ourself = PeerID(Array(repeating: 9, count: 20))!

  private func hash(_ byte: UInt8) -> KeyHash { KeyHash(Array(repeating: byte, count: 32))! }
  private func name(_ text: String) -> PeerName { PeerName(text)! }

  @Test(arguments: ["", "-a", "Bob", "b b", "bö", String(repeating: "a", count: 33), "a/b"])
  func notAName(text: String) { #expect(PeerName(text) == nil) }

  @Test(arguments: ["tcp/0", "tcp/", "tcp/65536", "sctp/1", "tcp/+1", "TCP/1", "tcp/1/2", "every"])
  func notARule(text: String) { #expect(PortRule(text) == nil) }

  @Test func rulesReadBackAsTheyAreWritten() {
    for rule in [PortRule.all, .ping, .tcp(22), .udp(65_535)] { #expect(PortRule(rule.description) == rule) }
  }

  @Test func aBookComesBackTheSame() throws {
    var book = PeerBook(ourself: ourself)
    try book.add(name("bob"), hash(1).peerID, keyHash: hash(1), allow: [.udp(53), .tcp(22), .tcp(22)])
    try book.add(name("eve"), hash(2).peerID, allow: [.all, .tcp(1)], endpoints: [Endpoint("192.0.2.1:1")!])
    #expect(book[name("bob")]?.allow == [.tcp(22), .udp(53)])
    #expect(book[name("eve")]?.allow == [.all])
    #expect(try PeerBook(encoded: book.encoded(), ourself: ourself) == book)
  }

  @Test("Relays on the way to a peer are stored, outlast a change of its rules, and are bounded")
  func hops() throws {
    var book = PeerBook(ourself: ourself)
    try book.add(name("bob"), hash(1).peerID, allow: [], hops: HopCount(3))
    try book.add(name("bob"), hash(1).peerID, allow: [.ping])
    #expect(book[name("bob")]?.hops == HopCount(3))
    #expect(try PeerBook(encoded: book.encoded(), ourself: ourself) == book)
    let text = String(decoding: try book.encoded(), as: UTF8.self)
    for bad in ["0", "4", "-1"] {
      let changed = text.replacing("\"hops\" : 3", with: "\"hops\" : \(bad)")
      #expect(changed != text)
      #expect(throws: PeerBook.Unreadable.self) {
        try PeerBook(encoded: Array(changed.utf8), ourself: ourself)
      }
    }
    try book.setHops(nil, of: name("bob"))
    #expect(book[name("bob")]?.hops == nil)
    #expect(try PeerBook(encoded: book.encoded(), ourself: ourself) == book)
    #expect(throws: PeerBook.Refusal.unknown(name("rob"))) { try book.setHops(HopCount(1), of: name("rob")) }
  }

  @Test(arguments: ["0", "4", "", "+1", "02", "1.0", "two"])
  func notANumberOfHops(text: String) { #expect(HopCount(text) == nil) }

  @Test func namesAndPeersAreUnique() throws {
    var book = PeerBook(ourself: ourself)
    try book.add(name("bob"), hash(1).peerID, allow: [])
    #expect(throws: PeerBook.Refusal.nameTaken(name("bob"), by: hash(1).peerID)) {
      try book.add(name("bob"), hash(2).peerID, allow: [])
    }
    #expect(throws: PeerBook.Refusal.alreadyNamed(hash(1).peerID, name("bob"))) {
      try book.add(name("rob"), hash(1).peerID, allow: [])
    }
    #expect(throws: PeerBook.Refusal.isOurself) { try book.add(name("me"), ourself, allow: []) }
    #expect(throws: PeerBook.Refusal.unknown(name("rob"))) { try book.remove(name("rob")) }
    try book.remove(name("bob"))
    #expect(book.count == 0)
  }

  @Test("A peer with another's overlay address (the same 13 bytes) is refused")
  func overlayCollision() throws {
    var book = PeerBook(ourself: ourself)
    let near = PeerID(Array(repeating: 1, count: 19) + [2])!
    try book.add(name("bob"), hash(1).peerID, allow: [])
    #expect(throws: PeerBook.Refusal.addressTaken(by: name("bob"))) {
      try book.add(name("rob"), near, allow: [])
    }
  }

  @Test("The first KeyHash pins: a second one under the same PeerID is refused")
  func pinning() throws {
    var book = PeerBook(ourself: ourself)
    let other = KeyHash(Array(repeating: 1, count: 20) + Array(repeating: 7, count: 12))!
    try book.add(name("bob"), hash(1).peerID, allow: [])
    let first = try book.learned(hash(1), publicKey: nil, endpoints: [])
    let second = try book.learned(hash(1), publicKey: nil, endpoints: [])
    #expect(first && !second)
    #expect(throws: PeerBook.Refusal.otherKey(name("bob"))) {
      try book.learned(other, publicKey: nil, endpoints: [])
    }
    #expect(throws: PeerBook.Refusal.otherKey(name("bob"))) {
      try book.add(name("bob"), hash(1).peerID, keyHash: other, allow: [])
    }
    #expect(book[name("bob")]?.keyHash == hash(1))
  }

  @Test func theBookIsBounded() throws {
    var book = PeerBook(ourself: ourself)
    for index in 0..<PeerBook.maximumPeers {
      let id = PeerID([1, UInt8(index / 256), UInt8(index % 256)] + Array(repeating: 0, count: 17))!
      try book.add(name("p\(index)"), id, allow: [])
    }
    #expect(throws: PeerBook.Refusal.full) { try book.add(name("more"), hash(1).peerID, allow: []) }
  }

  @Test func aDamagedBookIsRefusedWhole() throws {
    var book = PeerBook(ourself: ourself)
    try book.add(name("bob"), hash(1).peerID, keyHash: hash(1), allow: [])
    let text = String(decoding: try book.encoded(), as: UTF8.self)
    for bad in [
      String(text.prefix(40)), text.replacing("\"version\" : 1", with: "\"version\" : 2"),
      text.replacing(hash(1).description, with: hash(2).description),
      text.replacing("\"bob\"", with: "\"Bob\""),
    ] {
      #expect(throws: PeerBook.Unreadable.self) { try PeerBook(encoded: Array(bad.utf8), ourself: ourself) }
    }
  }

  @Test("A stored public key that is not its entry's is refused, not handed to a handshake")
  func aForeignPublicKeyInTheBook() throws {
    var book = PeerBook(ourself: ourself)
    let key = try IdentityKey(seed: [UInt8](repeating: 1, count: IdentityKey.seedSize))
    try book.add(name("bob"), key.keyHash.peerID, keyHash: key.keyHash, allow: [])
    _ = try book.learned(key.keyHash, publicKey: key.publicKey.bytes, endpoints: [])
    #expect(try PeerBook(encoded: book.encoded(), ourself: ourself) == book)
    for foreign in [try IdentityKey(seed: [UInt8](repeating: 2, count: 32)).publicKey.bytes, [1, 2, 3]] {
      _ = try book.learned(key.keyHash, publicKey: foreign, endpoints: [])
      let stored = try book.encoded()
      #expect(throws: PeerBook.Unreadable(reason: "bob has the public key of another")) {
        try PeerBook(encoded: stored, ourself: ourself)
      }
    }
  }

  @Test func namesForThoseWhoCameWithoutOne() throws {
    var book = PeerBook(ourself: ourself)
    #expect(book.freeName(for: hash(1).peerID) == name("peer-01010101"))
    try book.add(name("peer-01010101"), hash(2).peerID, allow: [])
    #expect(book.freeName(for: hash(1).peerID) == name("peer-010101010101"))
  }
}
