import Daemon
import Foundation
public import MeshCrypto
import MeshWire

/// Where a backbone keeps its keys (0600) and its database, in a directory of its own (0700).
///
/// Root, who runs the operator's commands, may use a directory of the service's user: keys that it makes
/// there are that user's.
public struct StateDirectory: Sendable {
  /// Why a directory or a key in it cannot be used, for the operator.
  public struct Refusal: Error, Hashable, Sendable, CustomStringConvertible {
    public let path: String
    public let problem: String

    public var description: String { "\(path): \(problem)" }
  }

  public let path: String

  private let identityFile: StateFile
  private let regionKeysFile: StateFile

  /// Makes the directory if it is missing; refuses a link, and one that others may enter.
  public init(path: String) throws(Refusal) {
    self.path = path
    identityFile = StateFile(path: path + "/identity.key", sizeLimit: 8_192, isSecret: true)
    regionKeysFile = StateFile(path: path + "/region-keys.json", sizeLimit: 8_192, isSecret: true)
    if try Self.isUsable(path) { return }
    do {
      let parent = (path as NSString).deletingLastPathComponent
      if !parent.isEmpty {
        try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
      }
      // Private from the first moment, unlike FileManager's: another program that starts now looks at it.
      try identityFile.makeDirectory()
    } catch let error as StateFileError {
      throw Refusal(path: path, problem: "cannot be made: \(error)")
    } catch {
      throw Refusal(path: path, problem: "cannot be made: \((error as NSError).localizedDescription)")
    }
    guard try Self.isUsable(path) else { throw Refusal(path: path, problem: "cannot be examined") }
  }

  /// Whether there is such a directory; one that must not be used throws.
  private static func isUsable(_ path: String) throws(Refusal) -> Bool {
    // Of the name itself: a link is not followed.
    guard let found = try? FileManager.default.attributesOfItem(atPath: path) else { return false }
    if found[.type] as? FileAttributeType == .typeSymbolicLink {
      let target = try? FileManager.default.destinationOfSymbolicLink(atPath: path)
      let named = target.map { ": name the directory that it points to, \($0)" } ?? ""
      throw Refusal(path: path, problem: "is a symbolic link" + named)
    }
    guard found[.type] as? FileAttributeType == .typeDirectory else {
      throw Refusal(path: path, problem: "is not a directory")
    }
    guard let mode = (found[.posixPermissions] as? NSNumber)?.intValue, mode & 0o077 == 0 else {
      throw Refusal(path: path, problem: "others may read it: run chmod 700 \(path)")
    }
    return true
  }

  /// The database.
  public var registryFile: String { path + "/registry.sqlite" }

  /// Takes the directory for a backbone that serves, until the process ends; refuses when another has it.
  ///
  /// The lock is the kernel's, on the key file: it needs no file and goes with the process, however
  /// that ends. Commands that only use the database don't take it.
  public func lock() throws(Refusal) {
    let file = identityFile.path
    let descriptor = unsafe open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else {
      throw Refusal(path: file, problem: "cannot be locked: \(SystemError.last)")
    }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      let reason = SystemError.last
      close(descriptor)
      guard reason.code == EWOULDBLOCK else {
        throw Refusal(path: file, problem: "cannot be locked: \(reason)")
      }
      throw Refusal(
        path: path,
        problem: "another shadowmesh-backbone uses it: stop that one, or give this one its own directory")
    }
  }

  /// The backbone's identity: made at the first start, never overwritten.
  public func identity() throws -> IdentityKey {
    let text = try Self.content(of: identityFile) { Array((try IdentityKey().seed.hex + "\n").utf8) }
    let line = String(bytes: text, encoding: .utf8)?.trimmingCharacters(in: .whitespacesAndNewlines)
    guard let line, let seed = [UInt8](hex: line), let key = try? IdentityKey(seed: seed) else {
      throw Refusal(
        path: identityFile.path, problem: "is not a key of 64 hexadecimal digits: restore it from a backup")
    }
    return key
  }

  /// The region's keys: made at the first start. Copy the file to every backbone of the region.
  public func regionKeys() throws -> RegionKeys {
    let bytes = try Self.content(of: regionKeysFile) { Array(try RegionKeys().encoded) }
    guard let keys = RegionKeys(encoded: Data(bytes)) else {
      throw Refusal(
        path: regionKeysFile.path,
        problem: "is damaged: restore it, or move it away and have all nodes log in anew")
    }
    return keys
  }

  /// What the file holds, made by `first` when there is no file. Of two programs that make it at once, both
  /// get what the one wrote that came first.
  static func content(of file: StateFile, madeBy first: () throws -> [UInt8]) throws -> [UInt8] {
    if let bytes = try file.read() { return bytes }
    let made = try first()
    do {
      try file.createForDirectoryOwner(made)
      return made
    } catch {
      guard error.reason == .exists, let theirs = try file.read() else { throw error }
      return theirs
    }
  }

  /// Puts a new token key in front; the one before keeps verifying. Takes effect at the next start.
  ///
  /// - Returns: whether an older key was dropped for it, so that its tokens no longer count.
  @discardableResult
  public func rotateTokenKey() throws -> Bool {
    let keys = try regionKeys()
    try regionKeysFile.writeForDirectoryOwner(Array(try keys.rotated().encoded))
    return keys.tokenKeys.count == RegionKeys.maximumTokenKeys
  }
}
