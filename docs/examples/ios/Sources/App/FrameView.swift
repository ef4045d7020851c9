import SwiftUI

/// Shows a frame and the mask that belongs to it.
///
/// The frame is the one that was segmented, not a live preview, so that the mask lies on its object.
final class FrameView: UIView {
    private let picture = CALayer()
    private let marks = CALayer()

    /// The size of the frame that is shown; nil before the first.
    private(set) var size: Size?
    private(set) var isMirrored = false

    override init(frame: CGRect) {
        super.init(frame: frame)
        for sublayer in [picture, marks] {
            sublayer.contentsGravity = .resizeAspect
            layer.addSublayer(sublayer)
        }
    }

    @available(*, unavailable)
    required init?(coder: NSCoder) { fatalError("not from a file") }

    override func layoutSubviews() {
        super.layoutSubviews()
        for sublayer in [picture, marks] { sublayer.frame = bounds }
    }

    /// - Parameter result: what was found in the frame; nil while nothing is followed.
    func show(_ frame: Frame, _ result: FrameResult?, isMirrored: Bool) {
        size = frame.size
        self.isMirrored = isMirrored
        let turned = CATransform3DMakeScale(isMirrored ? -1 : 1, 1, 1)
        CATransaction.begin()
        CATransaction.setDisableActions(true)
        picture.contents = image(Data(frame.rgba), frame.size, CGImageAlphaInfo.noneSkipLast.rawValue)
        marks.contents = result.flatMap { result in
            // ARGB in one number each: alpha comes first in a number, last in this machine's memory.
            let layout = CGImageAlphaInfo.first.rawValue | CGBitmapInfo.byteOrder32Little.rawValue
            let colours = overlay(result.labels).withUnsafeBytes { Data($0) }
            return image(colours, frame.size, layout)
        }
        picture.transform = turned
        marks.transform = turned
        CATransaction.commit()
    }

    private func image(_ data: Data, _ size: Size, _ layout: UInt32) -> CGImage? {
        guard let provider = CGDataProvider(data: data as CFData) else { return nil }
        return CGImage(
            width: size.width, height: size.height, bitsPerComponent: 8, bitsPerPixel: 32,
            bytesPerRow: 4 * size.width, space: CGColorSpaceCreateDeviceRGB(),
            bitmapInfo: CGBitmapInfo(rawValue: layout), provider: provider, decode: nil,
            shouldInterpolate: true, intent: .defaultIntent
        )
    }
}

/// A `FrameView` for SwiftUI.
struct Picture: UIViewRepresentable {
    let view: FrameView

    func makeUIView(context: Context) -> FrameView { view }

    func updateUIView(_ view: FrameView, context: Context) {}
}
