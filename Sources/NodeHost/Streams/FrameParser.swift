/// Finds datagrams in the bytes of a stream (SMH1.md §9): each is length 2 ‖ bytes, of 1 to 1,452.
///
/// It holds one unfinished datagram at most. After an error the stream is of no use any more.
struct FrameParser {
  /// The largest datagram, in bytes: what a path probe asks for at most.
  static let largest = 1_452
  static let headSize = 2

  /// What began and isn't whole: at most a head and ``largest`` bytes.
  private(set) var pending: [UInt8] = []

  /// Whether a datagram has begun and its end is missing.
  var isInside: Bool { !pending.isEmpty }

  /// Takes the next bytes of the stream and appends the datagrams that they end. Throws for a length that no
  /// datagram has; those before it are appended all the same.
  mutating func take(
    _ bytes: some RandomAccessCollection<UInt8>, into datagrams: inout [[UInt8]]
  ) throws(FramingFailure) {
    var rest = bytes[...]
    while !rest.isEmpty {
      while pending.count < Self.headSize, let byte = rest.popFirst() { pending.append(byte) }
      guard pending.count >= Self.headSize else { return }
      let size = Int(pending[0]) << 8 | Int(pending[1])
      guard (1...Self.largest).contains(size) else { throw FramingFailure(length: size) }
      let part = rest.prefix(Self.headSize + size - pending.count)
      pending.append(contentsOf: part)
      rest = rest.dropFirst(part.count)
      guard pending.count == Self.headSize + size else { return }
      datagrams.append(Array(pending[Self.headSize...]))
      pending.removeAll(keepingCapacity: true)
    }
  }
}

/// A length that no datagram in a stream has.
struct FramingFailure: Error, Hashable {
  let length: Int
}
