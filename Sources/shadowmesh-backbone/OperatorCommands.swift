import ArgumentParser
import Backbone
import Foundation
import MeshWire

/// Makes a one-time invite.
struct InviteCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "invite",
    abstract: "Make a one-time invite for a backbone whose admission is by invite.",
    discussion: "Prints the secret, which goes into a node's configuration as `invite`.")

  @OptionGroup var file: ConfigurationOption

  @Option(help: "Hours until it expires.")
  var hours = 24

  func run() async throws {
    guard (1...8_760).contains(hours) else { throw ValidationError("--hours: expected 1 to 8760") }
    let store = try file.store()
    let expiry = BackboneClock.system.wall() + .seconds(hours * 3_600)
    print(try await Invite.create(expiry: expiry, in: store).secret)
  }
}

/// Takes back tokens before they expire.
struct RevokeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "revoke",
    abstract: "Revoke one token, or all tokens that a peer has now.",
    discussion: "A running backbone notices within seconds.")

  @OptionGroup var file: ConfigurationOption

  @Option(help: "A token's id (its jti claim).")
  var token: String?

  @Option(help: "A peer's KeyHash, 64 hexadecimal digits.")
  var peer: String?

  func run() async throws {
    let configuration = try file.load()
    let store = try file.store()
    let now = BackboneClock.system.wall()
    let until = now + configuration.settings.tokenLife
    switch (token, peer) {
    case (let token?, nil): try await store.revoke(token: token, until: until)
    case (nil, let peer?):
      guard let keyHash = KeyHash(hex: peer) else {
        throw ValidationError("--peer: expected a KeyHash, 64 hexadecimal digits")
      }
      try await store.revoke(tokensOf: keyHash, before: now, until: until)
    default: throw ValidationError("expected either --token or --peer")
    }
  }
}

/// Replaces the key that signs tokens.
struct RotateKeyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rotate-key",
    abstract: "Sign tokens with a new key from the next start on.",
    discussion: "The key before it goes on verifying. Copy region-keys.json to the region's other backbones.")

  @OptionGroup var file: ConfigurationOption

  func run() throws {
    try StateDirectory(path: try file.load().stateDirectory).rotateTokenKey()
  }
}

extension ConfigurationOption {
  /// The store that the configured backbone uses, also while it runs.
  func store() throws -> SQLiteStore {
    let configuration = try load()
    let state = try StateDirectory(path: configuration.stateDirectory)
    return try SQLiteStore(file: state.registryFile, bounds: configuration.bounds)
  }
}
