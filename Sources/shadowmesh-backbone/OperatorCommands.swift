import ArgumentParser
import Backbone
import Foundation
import MeshWire

/// Makes a one-time invite.
struct InviteCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "invite",
    abstract: "Make a one-time invite for a backbone whose admission is by invite.",
    discussion: "Prints the secret, which goes into the file that a node names as `backbone_invite_file`.")

  @OptionGroup var file: ConfigurationOption

  @Option(help: "Hours until it expires.")
  var hours = 24

  func validate() throws {
    guard (1...8_760).contains(hours) else { throw ValidationError("--hours: expected 1 to 8760") }
  }

  func run() async throws {
    let configuration = try file.load()
    guard configuration.settings.admission == .invite else {
      throw Program.refusal("\(file.path): invites count only with admission.mode: invite")
    }
    let store = try configuration.openStore()
    let expiry = BackboneClock.system.wall() + .seconds(hours * 3_600)
    print(try await Invite.create(expiry: expiry, in: store).secret)
  }
}

/// Takes back tokens before they expire, and with a peer's tokens its admission.
struct RevokeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "revoke",
    abstract: "Revoke one token, or all tokens that a peer has now.",
    discussion: """
      A running backbone notices within seconds. With --peer, an invite that the peer has used no longer
      counts, so that it needs a new one. Where admission is by list, take its key out of the list and
      restart. Where admission is open, whoever holds a key can log in again.
      """)

  @OptionGroup var file: ConfigurationOption

  @Option(help: "A whole token, or its id (its jti claim, 32 hexadecimal digits).")
  var token: String?

  @Option(help: "A peer's KeyHash, 64 hexadecimal digits.")
  var peer: String?

  private enum Revoked {
    case token(String)
    case peer(KeyHash)
  }

  private func revoked() throws -> Revoked {
    switch (token, peer) {
    case (let token?, nil):
      guard let id = Self.tokenID(of: token) else {
        throw ValidationError("--token: expected a token, or its id of 32 hexadecimal digits")
      }
      return .token(id)
    case (nil, let peer?):
      guard let keyHash = KeyHash(hex: peer) else {
        throw ValidationError("--peer: expected a KeyHash, 64 hexadecimal digits")
      }
      return .peer(keyHash)
    default: throw ValidationError("expected either --token or --peer")
    }
  }

  func validate() throws { _ = try revoked() }

  func run() async throws {
    let store = try file.load().openStore()
    let now = BackboneClock.system.wall()
    // Not the configured life: it may have been longer when the token was issued.
    let until = now + BackboneConfiguration.longestTokenLife
    switch try revoked() {
    case .token(let id):
      try await store.revoke(token: id, until: until)
      print("token \(id) is revoked")
    case .peer(let peer):
      // Tokens carry whole seconds: one issued in this second has to go too.
      try await store.revoke(tokensOf: peer, before: now + .seconds(1), until: until)
      print("all tokens that \(peer) has now are revoked, and its admission by invite, if it had one")
    }
  }

  /// The id in a token, or the id itself; no signature is checked, for an unknown id harms nobody.
  private static func tokenID(of text: String) -> String? {
    struct Claims: Decodable { let jti: String }
    var id = text
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    if parts.count == 3 {
      let standard = parts[1].replacing("-", with: "+").replacing("_", with: "/")
      let padding = String(repeating: "=", count: (4 - standard.count % 4) % 4)
      guard let json = Data(base64Encoded: standard + padding),
        let claims = try? JSONDecoder().decode(Claims.self, from: json)
      else { return nil }
      id = claims.jti
    }
    return id.utf8.count == 32 && [UInt8](hex: id) != nil ? id.lowercased() : nil
  }
}

/// Replaces the key that signs tokens.
struct RotateKeyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rotate-key",
    abstract: "Sign tokens with a new key from the next start on.",
    discussion: """
      The key before it goes on verifying, so that tokens count until they expire.
      Copy region-keys.json to the region's other backbones.
      """)

  @OptionGroup var file: ConfigurationOption

  func run() throws {
    let directory = try file.load().stateDirectory
    let droppedOne = try StateDirectory(path: directory).rotateTokenKey()
    print("a new token key is in \(directory)/region-keys.json: restart the backbone to use it")
    if droppedOne { print("the key before the last is dropped: nodes with its tokens log in again") }
  }
}

extension BackboneConfiguration {
  /// The store that this backbone uses, also while it runs.
  func openStore() throws -> SQLiteStore {
    let state = try StateDirectory(path: stateDirectory)
    return try SQLiteStore(file: state.registryFile, bounds: bounds)
  }
}
