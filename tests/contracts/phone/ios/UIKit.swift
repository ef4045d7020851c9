@_exported import Foundation

public final class CGImage {
    public init?(
        width: Int, height: Int, bitsPerComponent: Int, bitsPerPixel: Int, bytesPerRow: Int,
        space: CGColorSpace, bitmapInfo: CGBitmapInfo, provider: CGDataProvider,
        decode: UnsafePointer<CGFloat>?, shouldInterpolate: Bool, intent: CGColorRenderingIntent
    ) {}
}

public typealias CFData = Data  // as a Data is taken for one

public final class CGColorSpace {}

public func CGColorSpaceCreateDeviceRGB() -> CGColorSpace { fatalError() }

public final class CGDataProvider {
    public init?(data: CFData) {}
}

public enum CGColorRenderingIntent { case defaultIntent }

public struct CGBitmapInfo: OptionSet {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let byteOrder32Little = CGBitmapInfo(rawValue: 2 << 12)
}

public enum CGImageAlphaInfo: UInt32 { case first = 4, noneSkipLast = 5 }

public struct CATransform3D {}

public func CATransform3DMakeScale(_ x: CGFloat, _ y: CGFloat, _ z: CGFloat) -> CATransform3D { fatalError() }

public final class CATransaction {
    public static func begin() {}
    public static func commit() {}
    public static func setDisableActions(_ flag: Bool) {}
}

public struct CALayerContentsGravity {
    public static let resizeAspect = CALayerContentsGravity()
}

public final class CALayer {
    public init() {}
    public var frame = CGRect.zero
    public var contents: Any?
    public var contentsGravity = CALayerContentsGravity.resizeAspect
    public var transform = CATransform3D()
    public func addSublayer(_ layer: CALayer) {}
}

open class UIView {
    public init(frame: CGRect) {}
    public required init?(coder: NSCoder) {}
    public var bounds: CGRect { fatalError() }
    public var layer: CALayer { fatalError() }
    open func layoutSubviews() {}
}
