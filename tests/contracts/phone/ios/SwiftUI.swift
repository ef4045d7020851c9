@_exported import Foundation
@_exported import UIKit

public protocol ObservableObject: AnyObject {}

@propertyWrapper
public struct Published<Value> {
    public init(wrappedValue: Value) { self.wrappedValue = wrappedValue }
    public var wrappedValue: Value
}

@propertyWrapper
public struct StateObject<Value: ObservableObject> {
    public init(wrappedValue: @autoclosure @escaping () -> Value) {}
    public var wrappedValue: Value { fatalError() }
}

@propertyWrapper
public struct State<Value> {
    public init(wrappedValue: Value) {}
    public var wrappedValue: Value {
        get { fatalError() }
        nonmutating set {}
    }
}

public protocol View {
    associatedtype Body: View
    @ViewBuilder var body: Body { get }
}

extension Never: View {
    public var body: Never { fatalError() }
}

public protocol Leaf: View where Body == Never {}

extension Leaf {
    public var body: Never { fatalError() }
}

extension Optional: View where Wrapped: View {
    public var body: Never { fatalError() }
}

public struct Group<Content>: Leaf {}

@resultBuilder
public enum ViewBuilder {
    public static func buildExpression<V: View>(_ view: V) -> V { view }
    public static func buildBlock<each V: View>(_ view: repeat each V) -> Group<(repeat each V)> { Group() }
    public static func buildBlock<V: View>(_ view: V) -> V { view }
    public static func buildIf<V: View>(_ view: V?) -> V? { view }
}

public struct ZStack<Content: View>: Leaf {
    public init(@ViewBuilder content: () -> Content) {}
}

public struct VStack<Content: View>: Leaf {
    public init(@ViewBuilder content: () -> Content) {}
}

public struct HStack<Content: View>: Leaf {
    public init(@ViewBuilder content: () -> Content) {}
}

public struct Text: Leaf {
    public init(_ text: String) {}
}

public struct Spacer: Leaf {
    public init() {}
}

public struct Button: Leaf {
    public init(_ title: String, action: @escaping () -> Void) {}
}

public struct Color {
    public static let white = Color()
    public static let black = Color()
}

public struct Shown: Leaf {}

public struct Path {
    public init(_ rect: CGRect) {}
    public func stroke(_ color: Color, lineWidth: CGFloat = 1) -> Shown { Shown() }
}

public protocol Gesture {}

public struct DragGesture: Gesture {
    public struct Value {
        public var startLocation: CGPoint { fatalError() }
        public var location: CGPoint { fatalError() }
    }
    public init(minimumDistance: CGFloat = 10) {}
    public func onChanged(_ action: @escaping (Value) -> Void) -> DragGesture { self }
    public func onEnded(_ action: @escaping (Value) -> Void) -> DragGesture { self }
}

public struct ProminentStyle {}

extension ProminentStyle {
    public static var borderedProminent: ProminentStyle { ProminentStyle() }
}

extension View {
    public func gesture(_ gesture: some Gesture) -> Shown { Shown() }
    public func allowsHitTesting(_ isEnabled: Bool) -> Shown { Shown() }
    public func padding() -> Shown { Shown() }
    public func foregroundStyle(_ color: Color) -> Shown { Shown() }
    public func background(_ color: Color) -> Shown { Shown() }
    public func buttonStyle(_ style: ProminentStyle) -> Shown { Shown() }
    public func task(_ action: @escaping () async -> Void) -> Shown { Shown() }
}

public struct UIViewRepresentableContext {}

public protocol UIViewRepresentable: Leaf {
    associatedtype UIViewType: UIView
    typealias Context = UIViewRepresentableContext
    func makeUIView(context: Context) -> UIViewType
    func updateUIView(_ view: UIViewType, context: Context)
}

public protocol Scene {}

public struct WindowGroup<Content: View>: Scene {
    public init(@ViewBuilder content: () -> Content) {}
}

public protocol App {
    associatedtype Body: Scene
    var body: Body { get }
}

extension App {
    public static func main() {}
}
