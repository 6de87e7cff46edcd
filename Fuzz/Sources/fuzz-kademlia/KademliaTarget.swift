import Harness
import Kademlia
import MeshWire

private let start = Instant(nanoseconds: 1 << 50)

private func peerID(_ byte: UInt8) -> PeerID {
  guard let id = PeerID([UInt8](repeating: byte, count: PeerID.size)) else { preconditionFailure("20 bytes") }
  return id
}

private let own = peerID(0xa5)

/// By the first byte: 0 a table snapshot from a file, 1 contacts and failures for a table, else answers for a
/// look-up.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ first: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  var input = FuzzInput(first, count)
  switch input.byte() % 3 {
  case 0: readSnapshot(input.rest())
  case 1: fillTable(&input)
  default: lookUp(&input)
  }
  return 0
}

private func check(_ table: RoutingTable) {
  let contacts = table.contacts
  precondition(contacts.count == table.count && table.count <= table.limits.capacity)
  precondition(Set(contacts.map(\.peerID)).count == contacts.count)
  precondition(!contacts.contains { $0.peerID == own || !$0.endpoint.isDialable })
  let prefixes = Dictionary(grouping: contacts) { $0.endpoint.address.limitPrefix }
  precondition(prefixes.values.allSatisfy { $0.count <= table.limits.prefixPerTable })
  precondition(table.occupancy.allSatisfy { $0.count <= table.limits.bucketSize })
}

private func readSnapshot(_ bytes: [UInt8]) {
  guard let table = try? RoutingTable(snapshot: bytes, own: own, now: start) else { return }
  check(table)
  let again = table.snapshot(now: start)
  guard let reread = try? RoutingTable(snapshot: again, own: own, now: start) else {
    preconditionFailure("our own snapshot is refused")
  }
  precondition(reread.contacts.map(\.hint) == table.contacts.map(\.hint))
  precondition(reread.snapshot(now: start) == again)
}

private func hint(_ input: inout FuzzInput) -> ContactHint? {
  var reader = ByteReader(input.take(ContactHint.size))
  return try? reader.contactHint()
}

private func fillTable(_ input: inout FuzzInput) {
  var limits = RoutingTable.Limits()
  limits.capacity = 6
  limits.bucketSize = 3
  limits.prefixPerTable = 3
  var table = RoutingTable(own: own, limits: limits, now: start)
  var now = start
  while !input.isEmpty {
    let action = input.byte()
    now = now + .seconds(Int(action >> 4))
    guard let hint = hint(&input) else { continue }
    switch action % 5 {
    case 0, 1:
      let contact = Contact(
        keyHash: hint.keyHash, endpoint: hint.endpoint, sequence: hint.sequence, lastSeen: now)
      _ = table.insert(contact, now: now)
    case 2: _ = table.failed(hint.peerID)
    case 3: table.seen(hint.peerID, now: now)
    default: table.remove(hint.peerID)
    }
    check(table)
  }
}

private func lookUp(_ input: inout FuzzInput) {
  var now = start
  var seeds: [ContactHint] = []
  for _ in 0..<(input.byte() % 24) {
    if let seed = hint(&input) { seeds.append(seed) }
  }
  var lookup = Lookup(target: peerID(0x3c), own: own, seeds: seeds, now: now)
  var asked: [PeerID] = []
  // Events may go on as long as the input does; after it only time passes, and that must end every look-up.
  var quietSteps = 0
  while quietSteps < 400 {
    if input.isEmpty { quietSteps += 1 }
    switch lookup.next(now: now) {
    case .query(let hint):
      precondition(hint.peerID != own && hint.endpoint.isDialable)
      precondition(lookup.inFlight <= lookup.limits.parallelism)
      asked.append(hint.peerID)
      precondition(asked.count <= lookup.limits.queries)
    case .waiting(let until):
      precondition(until > now && !asked.isEmpty)
      let action = input.byte()
      let peer = asked[Int(input.byte()) % asked.count]
      switch action % 4 {
      case 0, 1:
        let hints = (0..<Int(action >> 2)).compactMap { _ in hint(&input) }
        lookup.answered(from: peer, hints: hints, now: now)
      case 2: lookup.failed(peer, now: now)
      default: now = until
      }
      // A fuzzer that says nothing more is a network that says nothing more.
      if input.isEmpty { now = until }
    case .finished(let result):
      precondition(result.closest.count <= lookup.limits.results)
      let distances = result.closest.map { $0.peerID.distance(to: result.target) }
      precondition(zip(distances, distances.dropFirst()).allSatisfy { $0 < $1 })
      return
    }
  }
  preconditionFailure("the look-up does not end")
}

/// Writes the seed inputs when asked to.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(_: UnsafeMutableRawPointer?, _: UnsafeMutableRawPointer?) -> CInt {
  SeedCorpus.writeIfAsked {
    let contacts = (1...12).map { number in
      var hash = [UInt8](repeating: 0xa5, count: KeyHash.size)
      hash[number / 3] ^= UInt8(number * 16 + 1)
      guard let keyHash = KeyHash(hash) else { preconditionFailure("32 bytes") }
      let endpoint = Endpoint(.v4(0x0b00_0001 + UInt32(number) << 8), port: 8443)
      return Contact(keyHash: keyHash, endpoint: endpoint, sequence: 1, lastSeen: start)
    }
    func bytes(_ contact: Contact) -> [UInt8] {
      var writer = ByteWriter()
      writer.write(contact.hint)
      return writer.bytes
    }
    var table = RoutingTable(own: own, now: start)
    for contact in contacts { _ = table.insert(contact, now: start) }
    var filling: [UInt8] = [1]
    for (number, contact) in contacts.enumerated() { filling += [UInt8(number % 5)] + bytes(contact) }
    var answers: [UInt8] = [2, 4] + contacts[..<4].flatMap(bytes)
    for number in 0..<3 {
      answers += [8, UInt8(number)] + contacts[(4 + 2 * number)..<(6 + 2 * number)].flatMap(bytes)
    }
    return [
      ("snapshot", [0] + table.snapshot(now: start)),
      ("empty-snapshot", [0] + RoutingTable(own: own, now: start).snapshot(now: start)),
      ("table", filling), ("look-up", answers),
    ]
  }
  return 0
}
