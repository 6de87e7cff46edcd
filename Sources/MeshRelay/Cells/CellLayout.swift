/// The one size that everything in a circuit has (docs/protocol/relays.md), in bytes.
///
/// A cell travels in one transport packet between neighbours: 33 of overhead ‖ circuit id 4 ‖ body 1,415 make
/// 1,452, which fits 1,500 under IPv6 and UDP; on a path that carries less it travels in two.
public enum CellLayout {
  /// Most relays of a chain.
  public static let longestChain = 3
  /// Names a circuit between two neighbours.
  public static let circuitSize = 4
  /// The body, whose size never changes on its way.
  public static let bodySize = 1_415
  /// Circuit id and body.
  public static let cellSize = circuitSize + bodySize
  /// What one hop adds or strips: sequence 8 ‖ tag 16.
  public static let layerSize = 24
  /// Before the datagram inside: 2 bits for the relays of the chain, 14 for the length.
  static let lengthSize = 2
  /// The largest datagram that a circuit carries, however many hops it has.
  public static let largestPayload = bodySize - longestChain * layerSize - lengthSize

  /// Bytes of the body that mean something where `layers` layers have been stripped, or not been put on yet;
  /// zeros follow.
  public static func meaningful(_ layers: Int) -> Int { bodySize - layers * layerSize }

  /// The circuit id of a cell.
  static func circuit(_ cell: borrowing MutableSpan<UInt8>) -> UInt32 {
    var id: UInt32 = 0
    for index in 0..<circuitSize { id = id << 8 | UInt32(cell[index]) }
    return id
  }

  /// The circuit id of a cell of 1,419 bytes.
  public static func circuit(of cell: Span<UInt8>) -> UInt32 {
    (0..<circuitSize).reduce(0) { $0 << 8 | UInt32(cell[$1]) }
  }

  static func setCircuit(_ id: UInt32, _ cell: inout MutableSpan<UInt8>) {
    for index in 0..<circuitSize {
      cell[index] = UInt8(truncatingIfNeeded: id >> UInt32(24 - 8 * index))
    }
  }

  /// Writes the core of a cell, length and datagram with zeros behind, where its body stands.
  static func setCore(_ datagram: Span<UInt8>, hops: Int, _ cell: inout MutableSpan<UInt8>) {
    precondition(datagram.count <= largestPayload, "the caller has checked the size")
    let length = hops << 14 | datagram.count
    cell[circuitSize] = UInt8(truncatingIfNeeded: length >> 8)
    cell[circuitSize + 1] = UInt8(truncatingIfNeeded: length)
    let start = circuitSize + lengthSize
    for index in 0..<datagram.count { cell[start + index] = datagram[index] }
    for index in start + datagram.count..<cellSize { cell[index] = 0 }
  }

  /// Where the datagram in a cell's core is, and how many relays it says it has passed; `nil` for a core that
  /// can't be right.
  static func core(_ cell: borrowing MutableSpan<UInt8>) -> (datagram: Range<Int>, hops: Int)? {
    let length = Int(cell[circuitSize]) << 8 | Int(cell[circuitSize + 1])
    let hops = length >> 14
    let count = length & 0x3fff
    guard hops > 0, count <= largestPayload else { return nil }
    let start = circuitSize + lengthSize
    return (start..<start + count, hops)
  }
}
