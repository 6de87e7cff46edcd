import Daemon
import MeshNode
import MeshWire

/// The files of the state directory beside the key. Each is written whole or not at all.
struct StateFolder: Sendable {
  private let peers: StateFile
  private let previousPeers: StateFile
  private let invites: StateFile
  private let sequence: StateFile
  private let cache: StateFile
  private let listenPort: StateFile
  private let entryRelay: StateFile

  init(directory: String) {
    peers = StateFile(path: directory + "/peers.json", sizeLimit: 8 << 20)
    previousPeers = StateFile(path: directory + "/peers.json.previous", sizeLimit: 8 << 20)
    invites = StateFile(path: directory + "/invites.json", sizeLimit: 1 << 20)
    sequence = StateFile(path: directory + "/record.sequence", sizeLimit: 64)
    cache = StateFile(path: directory + "/cache", sizeLimit: 16 << 20)
    listenPort = StateFile(path: directory + "/listen.port", sizeLimit: 64)
    entryRelay = StateFile(path: directory + "/entry.relay", sizeLimit: 128)
  }

  /// A state file that does not hold what it should. It stays as it is; `next` is what a person can do.
  struct Damaged: Error, CustomStringConvertible {
    let path: String
    let reason: String
    let next: String
    var description: String { "\(path) is damaged (\(reason)) and was left as it is" }
  }

  /// The peer book; empty when there is no file. Throws ``Damaged`` or `StateFileError`.
  func readPeers(ourself: PeerID) throws -> PeerBook {
    guard let bytes = try peers.read() else { return PeerBook(ourself: ourself) }
    do {
      return try PeerBook(encoded: bytes, ourself: ourself)
    } catch {
      let aside = "mv \(peers.path) \(peers.path).damaged"
      let back = "cp -p \(previousPeers.path) \(peers.path)"
      let hasCopy = (try? previousPeers.read()) ?? nil != nil
      throw Damaged(
        path: peers.path, reason: error.reason,
        next: hasCopy
          ? "go back to the copy before the last change: \(aside) && \(back)"
          : "move it away (\(aside)) and add the peers again")
    }
  }

  /// Stores the peer book, and keeps the one before it.
  func write(_ book: PeerBook) throws {
    let bytes = try book.encoded()
    if let old = try peers.read(), old != bytes { try previousPeers.write(old) }
    try peers.write(bytes)
  }

  func readInvites() throws -> InviteLedger {
    guard let bytes = try invites.read() else { return InviteLedger() }
    do {
      return try InviteLedger(encoded: bytes)
    } catch {
      throw Damaged(
        path: invites.path, reason: "it is not the JSON of invitations",
        next: "move it away (mv \(invites.path) \(invites.path).damaged) and invite again")
    }
  }

  func write(_ ledger: InviteLedger) throws { try invites.write(ledger.encoded()) }

  /// The last sequence number that this node signed with; 0 when there is none.
  func readSequence() throws -> UInt64 {
    guard let bytes = try sequence.read() else { return 0 }
    let text = String(decoding: bytes, as: UTF8.self)
    guard text.hasSuffix("\n"), let number = UInt64(text.dropLast()) else {
      throw Damaged(
        path: sequence.path, reason: "it is not a number",
        next: "nothing: the next record goes by the clock")
    }
    return number
  }

  func writeSequence(_ number: UInt64) throws { try sequence.write(Array("\(number)\n".utf8)) }

  /// The port that was drawn for `listen_port: auto`; `nil` before the first start.
  func readListenPort() throws -> UInt16? {
    guard let bytes = try listenPort.read() else { return nil }
    let text = String(decoding: bytes, as: UTF8.self)
    guard text.hasSuffix("\n"), case .fixed(let port)? = ListenPort(String(text.dropLast())) else {
      throw Damaged(path: listenPort.path, reason: "it is not a port", next: "nothing: another is drawn")
    }
    return port
  }

  func writeListenPort(_ port: UInt16) throws { try listenPort.write(Array("\(port)\n".utf8)) }

  /// The relay that longer chains begin at; `nil` when none was chosen.
  func readEntryRelay() throws -> KeyHash? {
    guard let bytes = try entryRelay.read() else { return nil }
    let text = String(decoding: bytes, as: UTF8.self)
    guard text.hasSuffix("\n"), let relay = KeyHash(hex: String(text.dropLast())) else {
      throw Damaged(path: entryRelay.path, reason: "it is not a KeyHash", next: "nothing: another is chosen")
    }
    return relay
  }

  /// `nil`: there is none any more.
  func writeEntryRelay(_ relay: KeyHash?) throws {
    guard let relay else { return try entryRelay.remove() }
    try entryRelay.write(Array("\(relay)\n".utf8))
  }

  /// Cached records and the routing table; `nil` when there are none. A damaged cache is worth a line in the
  /// log only.
  func readCache() throws -> NodeSnapshot? {
    guard let bytes = try cache.read() else { return nil }
    do {
      return try NodeSnapshot(encoded: bytes)
    } catch {
      throw Damaged(path: cache.path, reason: "\(error)", next: "nothing: it is made anew")
    }
  }

  func write(_ snapshot: NodeSnapshot) throws { try cache.write(snapshot.encoded) }
}

extension NodeSnapshot {
  /// Most records in a file.
  private static let recordLimit = NodeLimits.records

  /// `SMCACHE1`, record count 4 with length 4 and bundle each, table length 4 and table.
  var encoded: [UInt8] {
    var writer = ByteWriter()
    writer.write("SMCACHE1".utf8)
    writer.write(UInt32(min(records.count, Self.recordLimit)))
    for record in records.prefix(Self.recordLimit) {
      writer.write(UInt32(record.count))
      writer.write(record)
    }
    writer.write(UInt32(table.count))
    writer.write(table)
    return writer.bytes
  }

  init(encoded: [UInt8]) throws(DecodingFailure) {
    var reader = ByteReader(encoded)
    guard Array(try reader.slice(8)) == Array("SMCACHE1".utf8) else { throw .unknownVersion }
    let count = Int(try reader.uint32())
    guard count <= Self.recordLimit else { throw .tooLarge }
    var records: [[UInt8]] = []
    for _ in 0..<count { records.append(try reader.bytes(Int(try reader.uint32()))) }
    let table = try reader.bytes(Int(try reader.uint32()))
    try reader.end()
    self.init(records: records, table: table)
  }
}
