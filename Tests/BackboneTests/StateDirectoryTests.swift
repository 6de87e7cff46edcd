import Daemon
import Foundation
import MeshCrypto
import MeshWire
import Testing

@testable import Backbone

@Suite("State directory of a backbone") struct StateDirectoryTests {
  @Test func `keys are made once, kept private, and never overwritten`() async throws {
    try await Fixture.withDirectory { parent in
      let path = parent + "/state"
      let state = try StateDirectory(path: path)
      let identity = try state.identity()
      #expect(try state.identity().keyHash == identity.keyHash)
      _ = try state.regionKeys()
      for name in ["", "/identity.key", "/region-keys.json"] {
        let attributes = try FileManager.default.attributesOfItem(atPath: path + name)
        let mode = (attributes[.posixPermissions] as? NSNumber)?.intValue
        #expect(mode == (name.isEmpty ? 0o700 : 0o600))
      }
    }
  }

  @Test func `rotating changes the token key that signs, and nothing else`() async throws {
    try await Fixture.withDirectory { parent in
      let state = try StateDirectory(path: parent + "/state")
      let (identity, before) = (try state.identity(), try state.regionKeys())
      #expect(try state.regionKeys().tokenKeys.map(\.secret) == before.tokenKeys.map(\.secret))
      #expect(try state.rotateTokenKey() == false)
      let after = try state.regionKeys()
      #expect(after.challengeKey == before.challengeKey)
      #expect(try state.identity().keyHash == identity.keyHash)
      #expect(after.tokenKeys.count == 2)
      #expect(after.tokenKeys[0].secret != before.tokenKeys[0].secret)
      #expect(after.tokenKeys[0].id != before.tokenKeys[0].id)
      // What was signed before is still verified, until a second rotation, which says so.
      #expect(after.tokenKeys[1].secret == before.tokenKeys[0].secret)
      #expect(after.tokenKeys[1].id == before.tokenKeys[0].id)
      #expect(try state.rotateTokenKey())
      #expect(try state.regionKeys().tokenKeys.map(\.id).contains(before.tokenKeys[0].id) == false)
    }
  }

  @Test func `a key that others can read, or that is half written, is refused and left alone`() async throws {
    try await Fixture.withDirectory { parent in
      let path = parent + "/state"
      let state = try StateDirectory(path: path)
      let file = path + "/identity.key"
      _ = try state.identity()
      try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: file)
      #expect {
        try state.identity()
      } throws: {
        "\($0)".contains("chmod 600")
      }
      let half = Data("0123".utf8)
      try half.write(to: URL(fileURLWithPath: file))
      try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file)
      #expect(throws: StateDirectory.Refusal.self) { try state.identity() }
      #expect(try Data(contentsOf: URL(fileURLWithPath: file)) == half)
      try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
      #expect {
        try StateDirectory(path: path)
      } throws: {
        "\($0)".contains("chmod 700 \(path)")
      }
    }
  }

  @Test func `of two first starts at once, both have what the first one wrote`() async throws {
    try await Fixture.withDirectory { path in
      let file = StateFile(path: path + "/identity.key", sizeLimit: 100, isSecret: true)
      let kept = try StateDirectory.content(of: file) {
        // The other program writes between our look and our own file.
        try file.create([1])
        return [2]
      }
      #expect(kept == [1])
      #expect(try file.read() == [1])
    }
  }

  @Test func `starts at once end with one identity and one set of region keys`() async throws {
    try await Fixture.withDirectory { parent in
      let found = try await withThrowingTaskGroup(of: [String].self) { group in
        for _ in 0..<8 {
          group.addTask {
            let state = try StateDirectory(path: parent + "/state")
            return [try state.identity().keyHash.description, try state.regionKeys().tokenKeys[0].id]
          }
        }
        return try await group.reduce(into: Set()) { $0.insert($1) }
      }
      #expect(found.count == 1)
      #expect(try FileManager.default.contentsOfDirectory(atPath: parent + "/state").count == 2)
    }
  }

  @Test func `a symbolic link is refused, for the directory with the name that it points to`() async throws {
    try await Fixture.withDirectory { parent in
      let (path, link) = (parent + "/state", parent + "/link")
      let key = try StateDirectory(path: path).identity().keyHash
      try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: path)
      #expect {
        try StateDirectory(path: link)
      } throws: {
        "\($0)" == "\(link): is a symbolic link: name the directory that it points to, \(path)"
      }
      let (file, moved) = (path + "/identity.key", parent + "/elsewhere")
      try FileManager.default.moveItem(atPath: file, toPath: moved)
      try FileManager.default.createSymbolicLink(atPath: file, withDestinationPath: moved)
      let state = try StateDirectory(path: path)
      #expect(throws: StateFileError.self) { try state.identity() }
      #expect(throws: StateDirectory.Refusal.self) { try state.lock() }
      try FileManager.default.removeItem(atPath: file)
      try FileManager.default.moveItem(atPath: moved, toPath: file)
      #expect(try state.identity().keyHash == key)
    }
  }

  @Test func `a file in the place of the directory is refused`() async throws {
    try await Fixture.withDirectory { parent in
      try Data().write(to: URL(fileURLWithPath: parent + "/state"))
      try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: parent + "/state")
      #expect {
        try StateDirectory(path: parent + "/state")
      } throws: {
        "\($0)".contains("is not a directory")
      }
    }
  }

  @Test(.enabled(if: geteuid() == 0, "needs root: files of another user"))
  func `keys that root makes or rotates belong to the service's user, and a third user's are refused`()
    async throws
  {
    try await Fixture.withDirectory { parent in
      let path = parent + "/state"
      let state = try StateDirectory(path: path)
      try #require(chown(path, 4_242, 4_243) == 0)
      _ = try state.identity()
      for step in ["made", "rotated"] {
        if step == "made" { _ = try state.regionKeys() } else { try state.rotateTokenKey() }
        for name in ["identity.key", "region-keys.json"] {
          let found = try FileManager.default.attributesOfItem(atPath: path + "/" + name)
          #expect((found[.ownerAccountID] as? NSNumber)?.intValue == 4_242, "\(name), \(step)")
          #expect((found[.groupOwnerAccountID] as? NSNumber)?.intValue == 4_243, "\(name), \(step)")
          #expect((found[.posixPermissions] as? NSNumber)?.intValue == 0o600, "\(name), \(step)")
        }
      }
      try #require(chown(path + "/identity.key", 5_555, 5_555) == 0)
      #expect {
        try state.identity()
      } throws: {
        "\($0)".contains("belongs to another user")
      }
    }
  }
}
