import MeshPaths
import MeshWire

@testable import MeshNode
@testable import MeshRelay
@testable import MeshSession

/// A relay that holds the real keys of its sessions and circuits, and does with the cells that it should pass
/// on whatever it likes. Everything else its node does as it should: it answers, grants places, and lets
/// circuits stand.
final class HostileRelay {
  /// What it does to each cell.
  enum Conduct: String, CaseIterable {
    case drop
    /// Sends each at once again, and the one before the last twenty.
    case replay
    /// Changes one byte, here and there in what means something at every hop.
    case alter
    /// Holds four of each direction, and lets them go in reverse.
    case reorder
    /// Passes all on, beside what the test makes up.
    case pass
  }

  /// A way on from here.
  struct Way: Hashable {
    let to: PeerID
    let circuit: UInt32
  }

  let conduct: Conduct
  private(set) var treated = 0
  /// Ways that cells went, and how many did.
  private(set) var ways: [Way: Int] = [:]
  /// The last of each way.
  private var kept: [Way: [[UInt8]]] = [:]

  init(_ conduct: Conduct) { self.conduct = conduct }

  /// Takes a datagram that carries a cell for somebody else; `false` for any other, with the node as it was.
  func takes(_ datagram: [UInt8], of node: inout MeshNode, from source: Endpoint, now: Instant) -> Bool {
    guard datagram.count >= 32, datagram[0] == 1 else { return false }
    let index = datagram[4..<8].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    guard let slot = node.neighbours.slot(receiverIndex: index),
      let key = node.neighbours.entries[slot].keyHash,
      var session = node.neighbours.entries[slot].current?.session, session.receives(index),
      var relay = node.relay
    else { return false }
    var bytes = datagram
    var actions: [SessionAction] = []
    var span = bytes.mutableSpan
    let outcome = session.open(&span, now: now, into: &actions)
    var cell: [UInt8]
    switch outcome {
    case .cell(let range): cell = Array(bytes[range])
    case .assembledCell(let assembled): cell = assembled
    default: return false
    }
    var cellSpan = cell.mutableSpan
    guard case .forward(let next) = relay.relay(&cellSpan, from: key.peerID, of: nil, now: now) else {
      return false
    }
    node.relay = relay
    node.neighbours.entries[slot].current?.session = session
    node.neighbours.entries[slot].lastHeard = now
    node.neighbours.entries[slot].paths.heard(from: source, now: now)
    for sent in treat(cell, Way(to: next, circuit: CellLayout.circuit(of: cell.span))) {
      _ = node.send(cell: sent.span, to: next, now: now)
    }
    return true
  }

  private func treat(_ cell: [UInt8], _ way: Way) -> [[UInt8]] {
    treated += 1
    ways[way, default: 0] += 1
    switch conduct {
    case .pass: return [cell]
    case .drop: return []
    case .replay:
      kept[way, default: []].append(cell)
      guard kept[way]?.count == 21, let old = kept[way]?.removeFirst() else { return [cell, cell] }
      return [cell, cell, old]
    case .alter:
      var altered = cell
      altered[CellLayout.circuitSize + treated * 7 % 60] ^= 1
      return [altered]
    case .reorder:
      kept[way, default: []].append(cell)
      guard kept[way]?.count == 4 else { return [] }
      return kept.removeValue(forKey: way)?.reversed() ?? []
    }
  }

  /// The circuit that most cells to a neighbour went by.
  func busiest(to peerID: PeerID) -> UInt32? {
    ways.filter { $0.key.to == peerID }.max { $0.value < $1.value }?.key.circuit
  }
}
