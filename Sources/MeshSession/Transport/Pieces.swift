import MeshWire

/// Messages that came in pieces and aren't whole yet (SMH1.md §8): at most 64 and 128 KiB, each for a second.
struct PieceTable {
  enum Outcome {
    case waiting
    case complete([UInt8])
    case dropped(TransportDrop)
  }

  private struct Unfinished {
    let receiveIndex: UInt32
    let messageID: UInt32
    let kind: ContentKind
    var parts: [[UInt8]?]
    let expires: Instant
    var size: Int { parts.reduce(0) { $0 + ($1?.count ?? 0) } }
  }

  /// In the order of their end.
  private var unfinished: [Unfinished] = []
  private var size = 0
  /// Messages that ran out of time, since the caller last took the number.
  private var expired: UInt64 = 0

  /// When the oldest runs out of time.
  var deadline: Instant? { unfinished.first?.expires }
  var count: Int { unfinished.count }

  /// Takes one piece: the plaintext after its first byte, message id 4 ‖ index 1 ‖ count 1 ‖ bytes.
  mutating func add(
    _ piece: [UInt8], of kind: ContentKind, receiveIndex: UInt32, now: Instant
  ) -> Outcome {
    expire(now)
    guard piece.count > 6 else { return .dropped(.badPiece) }
    let messageID = piece[..<4].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    let index = Int(piece[4])
    let count = Int(piece[5])
    let most = kind == .controlPiece ? Layout.controlPieces : Layout.packetPieces
    guard (2...most).contains(count), index < count else { return .dropped(.badPiece) }
    let known = unfinished.firstIndex { $0.receiveIndex == receiveIndex && $0.messageID == messageID }
    let bytes = Array(piece[6...])
    guard size + bytes.count <= Limits.unfinishedBytes else { return .dropped(.piecesFull) }
    guard let known else {
      guard unfinished.count < Limits.unfinishedMessages else { return .dropped(.piecesFull) }
      var parts = [[UInt8]?](repeating: nil, count: count)
      parts[index] = bytes
      unfinished.append(
        Unfinished(
          receiveIndex: receiveIndex, messageID: messageID, kind: kind, parts: parts,
          expires: now + Limits.pieceLife))
      size += bytes.count
      return .waiting
    }
    guard unfinished[known].kind == kind, unfinished[known].parts.count == count,
      unfinished[known].parts[index] == nil
    else { return .dropped(.badPiece) }
    unfinished[known].parts[index] = bytes
    size += bytes.count
    let parts = unfinished[known].parts.compactMap { $0 }
    guard parts.count == count else { return .waiting }
    remove(known)
    let length = parts[0].count
    guard parts.dropLast().allSatisfy({ $0.count == length }), parts[count - 1].count <= length else {
      return .dropped(.badPiece)
    }
    return .complete(parts.flatMap { $0 })
  }

  private mutating func remove(_ position: Int) { size -= unfinished.remove(at: position).size }

  /// Drops what has run out of time.
  mutating func expire(_ now: Instant) {
    while let first = unfinished.first, first.expires <= now {
      remove(0)
      expired += 1
    }
  }

  /// Messages that ran out of time since this was last called.
  mutating func takeExpired() -> UInt64 {
    defer { expired = 0 }
    return expired
  }
}
