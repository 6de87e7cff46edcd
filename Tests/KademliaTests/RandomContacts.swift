import Kademlia
import MeshWire
import RepeatableRandom

extension SplitMix64 {
  mutating func keyHash() -> KeyHash { KeyHash(bytes(KeyHash.size))! }

  /// A key hash whose PeerID lies in the given bucket of `own`.
  mutating func keyHash(inBucket index: Int, of own: PeerID) -> KeyHash {
    var bits = own.bytes
    let noise = bytes(PeerID.size)
    let flipped = PeerID.bitWidth - 1 - index
    for bit in flipped..<PeerID.bitWidth {
      let mask = UInt8(0x80) >> UInt8(bit % 8)
      let value = bit == flipped ? ~own.bytes[bit / 8] : noise[bit / 8]
      bits[bit / 8] = bits[bit / 8] & ~mask | value & mask
    }
    return KeyHash(bits + bytes(KeyHash.size - PeerID.size))!
  }

  /// A public IPv4 endpoint; two in a million share their /24.
  mutating func endpoint() -> Endpoint {
    Endpoint(.v4(UInt32.random(in: 0x0b00_0000...0x7eff_ffff, using: &self)), port: 8443)
  }

  mutating func contact() -> Contact {
    Contact(keyHash: keyHash(), endpoint: endpoint(), sequence: 1, lastSeen: .start)
  }

  mutating func contact(inBucket index: Int, of own: PeerID, at endpoint: Endpoint? = nil) -> Contact {
    let hash = keyHash(inBucket: index, of: own)
    return Contact(keyHash: hash, endpoint: endpoint ?? self.endpoint(), sequence: 1, lastSeen: .start)
  }
}

extension Instant {
  static let start = Instant(nanoseconds: 1_000_000_000_000)

  static func seconds(_ seconds: Int) -> Instant { .start + .seconds(seconds) }
}

/// What must hold of every table after every step.
func violations(of table: RoutingTable) -> [String] {
  var found: [String] = []
  let contacts = table.contacts
  if contacts.count != table.count { found.append("count") }
  if table.count > table.limits.capacity { found.append("capacity") }
  if Set(contacts.map(\.peerID)).count != contacts.count { found.append("twice the same PeerID") }
  if contacts.contains(where: { $0.peerID == table.own }) { found.append("own identifier") }
  var inBucket: [Int: [Contact]] = [:]
  for contact in contacts {
    inBucket[table.own.distance(to: contact.peerID).bucketIndex!, default: []].append(contact)
  }
  for (index, contacts) in inBucket {
    if contacts.count > table.limits.bucketSize { found.append("bucket \(index) over k") }
    let prefixes = Dictionary(grouping: contacts) { $0.endpoint.address.limitPrefix }
    if prefixes.values.contains(where: { $0.count > table.limits.prefixPerBucket }) {
      found.append("prefix in bucket \(index)")
    }
    if contacts.map(\.lastSeen) != contacts.map(\.lastSeen).sorted() {
      found.append("bucket \(index) not in order of last seen")
    }
  }
  let prefixes = Dictionary(grouping: contacts) { $0.endpoint.address.limitPrefix }
  if prefixes.values.contains(where: { $0.count > table.limits.prefixPerTable }) {
    found.append("prefix in table")
  }
  if table.replacementCount > PeerID.bitWidth * table.limits.replacements { found.append("replacements") }
  return found
}
