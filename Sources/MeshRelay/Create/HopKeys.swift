import MeshCrypto
import MeshWire

/// What client and relay share for one circuit.
struct HopKeys {
  /// For the create layer, once.
  let create: [UInt8]
  let forward: [UInt8]
  let backward: [UInt8]

  /// - Parameters:
  ///   - relay: whose onion key it is; in the transcript, so that a key shown by another relay gives other
  ///     keys.
  init(relay: KeyHash, onionKey: KeyExchangeOffer, answer: KeyExchangeAnswer, secret: SharedSecret) {
    let transcript = Primitives.sha512(parts: [
      Array("shadowmesh/1 circuit".utf8), relay.bytes, onionKey.bytes, answer.bytes,
    ])
    let root = Primitives.hkdfExtractSHA512(salt: transcript, inputKey: secret.bytes)
    func key(_ label: String) -> [UInt8] {
      Primitives.hkdfExpandSHA512(key: root, info: Array(label.utf8), count: AEADKey.keySize)
    }
    create = key("create")
    forward = key("forward")
    backward = key("backward")
  }
}

extension KeyExchangeOffer {
  /// Names an onion key in a create layer: the first 8 bytes of its SHA-256.
  var keyID: [UInt8] { Array(Primitives.sha256(bytes).prefix(CreateLayout.keyIDSize)) }
}
