import MeshCrypto
import MeshWire

/// What one relay reads in its layer of a create message.
enum CreateCommand {
  case extend(to: KeyHash, at: Endpoint, layer: [UInt8])
  case end(reservation: [UInt8])
}

/// The layers of create messages.
enum CreateLayer {
  /// Seals one layer at `position` of a chain.
  static func seal(
    _ command: CreateCommand, position: Int, onionKey: KeyExchangeOffer, answer: KeyExchangeAnswer,
    keys: HopKeys, time: WallTime
  ) -> [UInt8] {
    var head = ByteWriter(reserving: CreateLayout.size(position))
    head.write(CreateLayout.version)
    head.write(onionKey.keyID)
    head.write(answer.bytes)
    var text = ByteWriter()
    switch command {
    case .extend(let relay, let endpoint, let layer):
      text.write(CreateLayout.Command.extend.rawValue)
      text.write(time.secondsSinceEpoch)
      text.write(relay)
      text.write(endpoint)
      text.write(layer)
    case .end(let reservation):
      text.write(CreateLayout.Command.end.rawValue)
      text.write(time.secondsSinceEpoch)
      text.write(reservation)
    }
    let room = CreateLayout.size(position) - CreateLayout.headSize - CreateLayout.tagSize
    text.write(zeros: room - text.bytes.count)
    let key = AEADKey(.aes256GCM, key: keys.create)
    let sealed = key.seal(text.bytes, counter: 0, associated: head.bytes)
    return head.bytes + sealed.text + sealed.tag
  }

  /// What of a layer can be read without any key.
  struct Head {
    let position: Int
    let keyID: [UInt8]
    let answer: KeyExchangeAnswer
  }

  static func head(of layer: [UInt8]) -> Head? {
    guard let position = CreateLayout.position(ofSize: layer.count), layer[0] == CreateLayout.version,
      let answer = KeyExchangeAnswer(layer[(1 + CreateLayout.keyIDSize)..<CreateLayout.headSize])
    else { return nil }
    return Head(
      position: position, keyID: Array(layer[1..<1 + CreateLayout.keyIDSize]), answer: answer)
  }

  /// Opens a layer; `nil` when the tag doesn't hold or what is inside is none of the commands.
  static func open(
    _ layer: [UInt8], position: Int, keys: HopKeys
  ) -> (command: CreateCommand, time: WallTime)? {
    let end = layer.count - CreateLayout.tagSize
    let key = AEADKey(.aes256GCM, key: keys.create)
    guard
      let text = key.open(
        Array(layer[CreateLayout.headSize..<end]), counter: 0,
        associated: Array(layer[..<CreateLayout.headSize]), tag: Array(layer[end...]))
    else { return nil }
    do throws(DecodingFailure) {
      var reader = ByteReader(text)
      let command = CreateLayout.Command(rawValue: try reader.uint8())
      let time = WallTime(secondsSinceEpoch: try reader.uint64())
      switch command {
      case .extend:
        guard position + 1 < CellLayout.longestChain else { return nil }
        let relay = try reader.keyHash()
        let endpoint = try reader.endpoint()
        let inner = try reader.bytes(CreateLayout.size(position + 1))
        try reader.end()
        return (.extend(to: relay, at: endpoint, layer: inner), time)
      case .end:
        let reservation = try reader.bytes(CreateLayout.reservationSize)
        try reader.zeros(reader.remaining)
        return (.end(reservation: reservation), time)
      case nil: return nil
      }
    } catch { return nil }
  }
}
