import MeshWire

extension NATDetection.Question {
  /// Whether a provider's NAT stands between this machine and who sees it at `reflexive`; `nil`: can't be
  /// told.
  ///
  /// It gives this machine an address of RFC 6598's, or the router an outer address that is not the
  /// internet's, or not the one that others see.
  func isCarrierGrade(_ reflexive: Endpoint) -> Bool? {
    guard reflexive.address.isV4 else { return nil }
    if isOwn(reflexive) { return false }
    if localAddresses.contains(where: \.isShared) { return true }
    if let router = routerAddress, router.isV4 {
      return router != reflexive.address || !OuterAddress.isPublic(router)
    }
    return reflexive.address.isShared ? true : nil
  }
}
