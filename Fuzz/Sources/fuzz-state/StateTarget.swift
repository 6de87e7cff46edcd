import ControlAPI
import Crypto
import Foundation
import Harness
import MeshCrypto
import MeshNode
import MeshWire

@testable import Backbone
@testable import LightNode

/// The files that the daemons load at their start. By the first byte: 0 a key file, 1 one whose checksum
/// holds, 2 an exported key, 3 the peer book, 4 the open invitations, 5 the cache, 6 a region's keys.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ first: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  var input = FuzzInput(first, count)
  let choice = input.byte()
  let bytes = input.rest()
  switch choice % 7 {
  case 0: readKey(bytes)
  case 1: readKey(bytes + Array(SHA256.hash(data: bytes)))
  case 2:
    guard let file = try? KeyFile(armoured: String(decoding: bytes, as: UTF8.self)) else { break }
    precondition((try? KeyFile(armoured: file.armoured))?.encoded == file.encoded)
  case 3: readPeers(bytes)
  case 4: readInvitations(bytes)
  case 5:
    guard let snapshot = try? NodeSnapshot(encoded: bytes) else { break }
    precondition(snapshot.encoded == bytes, "two encodings of one cache")
  default:
    guard let keys = RegionKeys(encoded: Data(bytes)) else { break }
    guard let text = try? keys.encoded, let again = RegionKeys(encoded: text) else {
      preconditionFailure("what was read can't be written")
    }
    precondition(again.challengeKey == keys.challengeKey)
    precondition(again.tokenKeys.map(\.id) == keys.tokenKeys.map(\.id))
  }
  return 0
}

private let ourself: PeerID = {
  guard let id = PeerID([UInt8](repeating: 0xa5, count: PeerID.size)) else { preconditionFailure("20 bytes") }
  return id
}()

/// What opens is the key of the header; a sealed file asks for its passphrase. Trying one would cost the
/// fuzzer 16 MiB and more an input, and reach nothing but the cipher.
private func readKey(_ bytes: [UInt8]) {
  guard let file = try? KeyFile(bytes) else { return }
  precondition(file.encoded == bytes, "two encodings of one key")
  do throws(KeyFile.Refusal) {
    let key = try file.open(passphrase: nil)
    precondition(!file.isSealed && key.keyHash == file.keyHash)
  } catch {
    precondition(error == (file.isSealed ? .passphraseNeeded : .damaged))
  }
}

private func readPeers(_ bytes: [UInt8]) {
  guard let book = try? PeerBook(encoded: bytes, ourself: ourself) else { return }
  precondition(book.count <= PeerBook.maximumPeers && book[ourself] == nil)
  for entry in book.entries {
    precondition(book[entry.name]?.peerID == entry.peerID)
    precondition(entry.endpoints.count <= PeerBook.maximumEndpoints)
    precondition(entry.allow.count <= ControlRequest.maximumPortRules)
    if let keyHash = entry.keyHash { precondition(keyHash.peerID == entry.peerID) }
    if let publicKey = entry.publicKey {
      precondition(IdentityPublicKey(publicKey)?.keyHash == entry.keyHash, "a public key of someone else")
    }
  }
  guard let text = try? book.encoded(), let again = try? PeerBook(encoded: text, ourself: ourself) else {
    preconditionFailure("what was read can't be written")
  }
  precondition(again == book)
}

private func readInvitations(_ bytes: [UInt8]) {
  guard let ledger = try? InviteLedger(encoded: bytes) else { return }
  precondition(ledger.entries.count <= InviteLedger.maximumInvites)
  guard let text = try? ledger.encoded(), let again = try? InviteLedger(encoded: text) else {
    preconditionFailure("what was read can't be written")
  }
  precondition(again == ledger)
}

/// Writes the seed inputs when asked to.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(_: UnsafeMutableRawPointer?, _: UnsafeMutableRawPointer?) -> CInt {
  SeedCorpus.writeIfAsked {
    let key = try IdentityKey(seed: [UInt8](repeating: 1, count: IdentityKey.seedSize))
    let plain = KeyFile(plain: key)
    let sealed = try KeyFile(sealing: key, passphrase: Array("a passphrase".utf8))
    var book = PeerBook(ourself: ourself)
    guard let alice = PeerName("alice"), let bob = PeerName("bob") else { return [] }
    let endpoints = [
      Endpoint(.v4(0xc000_0207), port: 8443), Endpoint(.v6(0x2001_0db8 << 96 | 1), port: 443),
    ]
    try book.add(alice, key.keyHash.peerID, keyHash: key.keyHash, allow: [.all], endpoints: endpoints)
    let other = try IdentityKey(seed: [UInt8](repeating: 2, count: IdentityKey.seedSize))
    try book.add(bob, other.keyHash.peerID, allow: [.tcp(22), .udp(53), .ping])
    let short = try book.encoded()
    _ = try book.learned(key.keyHash, publicKey: key.publicKey.bytes, endpoints: [])
    var ledger = InviteLedger()
    let now = WallTime(secondsSinceEpoch: 1_800_000_000)
    let hash = String(repeating: "7a", count: 32)
    _ = ledger.add(.init(secretHash: hash, name: alice, allow: [.ping], expires: 1_800_000_600), now: now)
    _ = ledger.add(.init(secretHash: hash, name: nil, allow: [], expires: .max), now: now)
    let regionKeys =
      #"{"challengeKey":"\#(hash)","tokenKeys":[{"id":"a","secret":"\#(hash)\#(hash)"}]}"#
    let cache = NodeSnapshot(records: [[1, 2, 3], [], [4]], table: [5, 6])
    return [
      ("key", [0] + plain.encoded), ("key-sealed", [0] + sealed.encoded),
      ("key-body", [1] + plain.encoded.dropLast(32)), ("key-sealed-body", [1] + sealed.encoded.dropLast(32)),
      ("key-exported", [2] + Array(sealed.armoured.utf8)), ("peers", [3] + short),
      ("peers-with-key", [3] + (try book.encoded())), ("invitations", [4] + (try ledger.encoded())),
      ("cache", [5] + cache.encoded), ("region-keys", [6] + Array(regionKeys.utf8)),
    ]
  }
  return 0
}
