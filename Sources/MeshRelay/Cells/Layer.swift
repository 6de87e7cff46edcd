import MeshCrypto

/// Puts one hop's layer on, in one direction: ciphertext ‖ sequence 8 ‖ tag 16, in place.
struct LayerSealer {
  private let key: AEADKey
  /// The nonce: it only counts up, so none comes twice under a key.
  private(set) var sequence: UInt64 = 0

  init(key: [UInt8]) { self.key = AEADKey(.aes256GCM, key: key) }

  /// Seals what means something in a cell under `outer` other layers still to be put on, and its own 24 bytes
  /// with it.
  mutating func seal(_ cell: inout MutableSpan<UInt8>, outer: Int) {
    let end = CellLayout.circuitSize + CellLayout.meaningful(outer)
    let textEnd = end - CellLayout.layerSize
    var tag = InlineArray<16, UInt8>(repeating: 0)
    let nothing = InlineArray<1, UInt8>(repeating: 0)
    do {
      var text = cell._mutatingExtracting(CellLayout.circuitSize..<textEnd)
      var tagSpan = tag.mutableSpan
      key.seal(&text, counter: sequence, associated: nothing.span.extracting(0..<0), tag: &tagSpan)
    }
    for index in 0..<8 {
      cell[textEnd + index] = UInt8(truncatingIfNeeded: sequence >> UInt64(56 - 8 * index))
    }
    for index in 0..<16 { cell[textEnd + 8 + index] = tag[index] }
    sequence += 1
  }
}

/// Takes one hop's layer off, in one direction, each sequence number once.
struct LayerOpener {
  enum Outcome {
    case opened
    case replayed
    case unauthenticated
  }

  private let key: AEADKey
  private var window = ReplayWindow()

  init(key: [UInt8]) { self.key = AEADKey(.aes256GCM, key: key) }

  /// Opens a cell in place whose outermost `outer` layers are off already; where this layer's 24 bytes stood
  /// are zeros after that.
  mutating func open(_ cell: inout MutableSpan<UInt8>, outer: Int) -> Outcome {
    let end = CellLayout.circuitSize + CellLayout.meaningful(outer)
    let textEnd = end - CellLayout.layerSize
    var sequence: UInt64 = 0
    for index in 0..<8 { sequence = sequence << 8 | UInt64(cell[textEnd + index]) }
    // The last number of all would leave the window nothing to count on to.
    guard sequence < .max, window.admits(sequence) else { return .replayed }
    var tag = InlineArray<16, UInt8>(repeating: 0)
    for index in 0..<16 { tag[index] = cell[textEnd + 8 + index] }
    let nothing = InlineArray<1, UInt8>(repeating: 0)
    let holds: Bool
    do {
      var text = cell._mutatingExtracting(CellLayout.circuitSize..<textEnd)
      holds = key.open(&text, counter: sequence, associated: nothing.span.extracting(0..<0), tag: tag.span)
    }
    guard holds else { return .unauthenticated }
    window.mark(sequence)
    for index in textEnd..<end { cell[index] = 0 }
    return .opened
  }
}
